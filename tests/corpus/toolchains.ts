/** The compilers that make WASI programs: each is looked for once, tried on a small program, and named by its version. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { npmInstallation } from "./packages.js";
import { runCommand, succeeds, Unavailable } from "./run-command.js";

export interface Toolchain {
  /** What stands before a program's own options. */
  readonly command: readonly string[];
  /** Part of what a build depends on. */
  readonly version: string;
}

/** Remembers the result, or the reason why there is none. */
function once<Value>(find: () => Value): () => Value {
  let found: { readonly value: Value } | { readonly error: unknown } | undefined;
  return () => {
    if (found === undefined) {
      try {
        found = { value: find() };
      } catch (error) {
        found = { error };
      }
    }
    if ("error" in found) throw found.error;
    return found.value;
  };
}

function firstThatCompiles(
  what: string,
  commands: readonly (readonly string[])[],
  fileName: string,
  text: string,
): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), "vermilion-probe-"));
  try {
    writeFileSync(join(folder, fileName), text);
    const command = commands.find((words) => succeeds([...words, fileName, "-o", "probe.wasm"], { cwd: folder }));
    if (command !== undefined) return command;
    const tried = [...new Set(commands.map(([name = ""]) => name))];
    const installed = tried.some((name) => succeeds([name, "--version"]));
    const reason = installed ? "it has no WASI library, or no linker" : "not installed";
    throw new Unavailable(`${what} for wasm32-wasi: ${reason} (tried ${tried.join(", ")})`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function versionOf(command: readonly string[]): string {
  return runCommand([command[0] ?? "", "--version"]).trim();
}

const clangNames = ["clang-19", "clang-20", "clang-18", "clang-17", "clang-16", "clang"];

/** For programs of this machine. */
export const nativeCompiler = once((): Toolchain => {
  const names = ["clang-19", "clang", "cc"];
  const command = names.map((name) => [name]).find((words) => succeeds([...words, "--version"]));
  if (command === undefined) throw new Unavailable(`no native C compiler (tried ${names.join(", ")})`);
  return { command, version: versionOf(command) };
});

/** Whole programs get 8 MiB of shadow stack: what recursive programs and interpreters need. */
const clangOptions = ["--target=wasm32-wasi", "-Wl,--strip-debug", "-Wl,-z,stack-size=8388608"];

export const clang = once((): Toolchain => {
  const candidates = clangNames.map((name) => [name, ...clangOptions]);
  const command = firstThatCompiles(
    "a C compiler",
    candidates,
    "probe.c",
    '#include <stdio.h>\nint main(void) { return puts(""); }\n',
  );
  return { command, version: versionOf(command) };
});

export const clangxx = once((): Toolchain => {
  const candidates = clangNames.map((name) => [name.replace("clang", "clang++"), ...clangOptions]);
  const text = "#include <vector>\nint main() { return static_cast<int>(std::vector<int>(3).size()); }\n";
  const trial = candidates.map((words) => [...words, "-fno-exceptions"]);
  const command = firstThatCompiles("a C++ compiler", trial, "probe.cpp", text).slice(0, -1);
  return { command, version: versionOf(command) };
});

export const rustc = once((): Toolchain => {
  // A rustup toolchain often stands before Debian's, which is the one with a WASI library.
  const candidates = ["rustc", "/usr/bin/rustc"].flatMap((name) =>
    ["wasm32-wasip1", "wasm32-wasi"].map((target) => [name, "--edition", "2021", "--target", target]),
  );
  const command = firstThatCompiles("a Rust compiler", candidates, "probe.rs", "fn main() { println!(); }\n");
  return { command, version: versionOf(command) };
});

export const go = once((): Toolchain => {
  const version = runCommand(["go", "version"]).trim();
  const minor = Number(/go1\.(\d+)/.exec(version)?.[1]);
  if (!(minor >= 21)) throw new Unavailable(`${version}: wasip1 needs Go 1.21`);
  return {
    command: ["env", "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=-mod=mod", "GO111MODULE=off", "go", "build", "-ldflags=-s"],
    version,
  };
});

export interface AssemblyScript extends Toolchain {
  /** Where the command runs: the compiler finds its configuration by relative paths only. */
  readonly cwd: string;
}

export const assemblyScript = once((): AssemblyScript => {
  const version = "assemblyscript@0.28.20 @assemblyscript/wasi-shim@0.1.0";
  const cwd = dirname(npmInstallation(...version.split(" ")));
  const shim = "node_modules/@assemblyscript/wasi-shim";
  const options = ["--config", `${shim}/asconfig.json`, "--lib", `${shim}/assembly`, "--optimize", "--debug"];
  return { command: [process.execPath, "node_modules/assemblyscript/bin/asc.js", ...options], version, cwd };
});
