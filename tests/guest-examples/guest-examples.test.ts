/** Every guest example prints what it says, its README names the command that built it, and that command builds it. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type GuestExample, guestExamples } from "../../guest-examples/examples.js";
import { cacheFolder, commandLine, root } from "../corpus/paths.js";
import { runCommand, Unavailable } from "../corpus/run-command.js";
import { assemblyScript, clang, go, rustc } from "../corpus/toolchains.js";

const folderOf = ({ name }: GuestExample) => join(root, "guest-examples", name);

let images = "";
beforeAll(() => {
  images = mkdtempSync(join(tmpdir(), "vermilion-guest-examples-"));
});
afterAll(() => {
  rmSync(images, { recursive: true, force: true });
});

/** The example's folder with a fresh build of its module in it. Throws `Unavailable`. */
function rebuild(example: GuestExample): string {
  const folder = mkdtempSync(join(images, "build-"));
  for (const entry of readdirSync(folderOf(example), { withFileTypes: true })) {
    if (entry.isFile() && !entry.name.endsWith(".wasm"))
      copyFileSync(join(folderOf(example), entry.name), join(folder, entry.name));
  }
  runCommand(buildCommand(example, folder), { cwd: folder });
  return folder;
}

/** The README's command, with the compiler that this machine has under whatever name. */
function buildCommand({ compiler, build }: GuestExample, folder: string): readonly string[] {
  switch (compiler) {
    case "clang":
      return [clang().command[0] ?? "", ...build.slice(1)];
    case "rustc": {
      const { command } = rustc();
      const target = command.at(-1) ?? "";
      return [command[0] ?? "", ...build.slice(1).map((word) => (word === "wasm32-wasi" ? target : word))];
    }
    case "go":
      go();
      return build;
    case "asc": {
      const modules = join(assemblyScript().cwd, "node_modules");
      symlinkSync(modules, join(folder, "node_modules"));
      return [process.execPath, join(modules, "assemblyscript", "bin", "asc.js"), ...build.slice(1)];
    }
  }
}

function outputOf(example: GuestExample, folder: string): string {
  const directories = example.files === true ? ["--dir", `${folder}::.`] : [];
  const image = join(mkdtempSync(join(images, "run-")), "image");
  const words = ["run", "--image", image, ...directories, `${example.name}.wasm`, ...example.args];
  const input = example.stdin === undefined ? "" : readFileSync(join(folder, example.stdin));
  const { status, stdout, stderr } = spawnSync(process.execPath, [commandLine, ...words], {
    cwd: folder,
    input,
    encoding: "utf8",
    env: { ...process.env, XDG_CACHE_HOME: join(cacheFolder, "instrumented") },
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout;
}

describe.each(guestExamples)("$name", (example) => {
  const expected = () => readFileSync(join(folderOf(example), "expected-output.txt"), "utf8");

  test("its README names the command that builds it", () => {
    expect(readFileSync(join(folderOf(example), "README.md"), "utf8")).toContain(example.build.join(" "));
  });

  test.skipIf(!example.committed)(
    "the committed module (skipped where it is too large to commit): small, prints what is expected",
    () => {
      expect(statSync(join(folderOf(example), `${example.name}.wasm`)).size).toBeLessThan(128 * 1024);
      expect(outputOf(example, folderOf(example))).toBe(expected());
    },
  );

  test("built anew: prints what is expected", { timeout: 300_000 }, (context) => {
    let folder: string;
    try {
      folder = rebuild(example);
    } catch (error) {
      if (error instanceof Unavailable) return context.skip(error.message);
      throw error;
    }
    expect(outputOf(example, folder)).toBe(expected());
  });
});
