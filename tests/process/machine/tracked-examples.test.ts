import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { guestExamples } from "../../../guest-examples/examples.js";
import { Machine } from "../../../runtime/process/machine.js";
import { Program } from "../../../runtime/process/program.js";
import { ProcessExit, Wasi } from "../../../runtime/wasi/index.js";
import { libc } from "../../../runtime/wasi/libc.js";
import { root } from "../../corpus/paths.js";

const scratch = mkdtempSync(join(tmpdir(), "vermilion-tracked-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The smaller form of what takes seconds otherwise. */
const FEWER: Readonly<Record<string, readonly string[]>> = { "list-push": ["100000"], "balanced-tree": ["2"] };

/** Its output, and how many stores were told. */
function run(name: string, args: readonly string[], stdin: string | undefined, tracking: boolean): [string, number] {
  const folder = join(root, "guest-examples", name);
  const bytes = readFileSync(join(folder, `${name}.wasm`));
  const program = Program.load(bytes, { cacheDirectory: undefined, exact: false, tracking });
  const output = join(scratch, `${name}-${tracking}`);
  const [input, out] = [stdin === undefined ? -1 : openSync(join(folder, stdin), "r"), openSync(output, "w")];
  const preopens = [{ host: folder, guest: "." }];
  const wasi = Wasi.create({ args: [name, ...args], env: [], preopens, stdio: [input, out, -1] });
  let stores = 0;
  const machine = new Machine(program, {
    functions: { wasi_snapshot_preview1: wasi.functions, wasi_unstable: wasi.unstableFunctions },
    attachMemory: (index, memory) => {
      const memoryAddress = libc().addressOf(memory.buffer);
      if (index === 0) wasi.bind({ memory, memoryAddress, failurePending: () => false, wakeDescriptor: -1 });
    },
    growMemory: () => true,
    failurePending: () => false,
    stored: () => {
      stores++;
    },
    exitStatus: (error) => (error instanceof ProcessExit ? error.status : undefined),
  });
  const outcome = machine.start("_start");
  wasi.close();
  closeSync(out);
  if (input >= 0) closeSync(input);
  expect(outcome).not.toMatchObject({ kind: "trapped" });
  return [readFileSync(output, "utf8"), stores];
}

test.each(guestExamples.filter(({ committed }) => committed))("$name: the same with its stores tracked", (example) => {
  const args = FEWER[example.name] ?? example.args;
  const [plain, none] = run(example.name, args, example.stdin, false);
  const [tracked, stores] = run(example.name, args, example.stdin, true);
  expect(tracked).toBe(plain);
  expect(plain).not.toBe("");
  expect(none).toBe(0);
  expect(stores).toBeGreaterThan(100);
});
