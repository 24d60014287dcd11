/**
 * Whether the bits of a NaN that arithmetic makes depend on the compiler that made the code: where they do, a program that
 * looks at them may take another way when its log is replayed. docs/persistence-model.md#the-log
 */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { assembleText } from "../../support/guests.js";

const BINARY = ["add", "sub", "mul", "div", "min", "max", "copysign"];
const UNARY = ["neg", "abs", "sqrt", "ceil", "floor", "trunc", "nearest"];

/** Operands with payloads that tell them apart, and infinities and zeros, of which arithmetic makes NaNs of its own. */
const WORDS = [
  "0x7ff8000000000123",
  "0xfff8000000000456",
  "0x7ff0000000000789",
  "0x7ff0000000000000",
  "0",
  "0x8000000000000000",
];

const text = `(module
  ${BINARY.map(
    (name) => `(func (export "${name}") (param i64 i64) (result i64)
      (i64.reinterpret_f64 (f64.${name} (f64.reinterpret_i64 (local.get 0)) (f64.reinterpret_i64 (local.get 1)))))
    (func (export "${name}32") (param i64 i64) (result i64)
      (i64.extend_i32_u (i32.reinterpret_f32 (f32.${name}
        (f32.demote_f64 (f64.reinterpret_i64 (local.get 0))) (f32.demote_f64 (f64.reinterpret_i64 (local.get 1)))))))`,
  ).join("\n")}
  ${UNARY.map(
    (name) => `(func (export "${name}") (param i64 i64) (result i64)
      (i64.reinterpret_f64 (f64.${name} (f64.reinterpret_i64 (local.get 0)))))`,
  ).join("\n")})`;

const script = `
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(process.argv[1], "base64")));
  const words = ${JSON.stringify(WORDS)}.map((word) => BigInt.asIntN(64, BigInt(word)));
  for (const name of Object.keys(exports))
    for (const a of words) for (const b of words)
      console.log(name, String(a), String(b), BigInt.asUintN(64, exports[name](a, b)).toString(16));
`;

function bits(...flags: string[]): string[] {
  const module = Buffer.from(assembleText(text)).toString("base64");
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, "-e", script, module], { encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.trimEnd().split("\n");
}

/** Add and mul, both of whose operands are NaNs: optimised code may swap them, and the first one's bits are the result's. */
function isDocumented(line: string): boolean {
  const [name = "", a = "", b = ""] = line.split(" ");
  return /^(?:add|mul)(?:32)?$/.test(name) && [a, b].every((word) => isNaN64(BigInt(word.replace("n", ""))));
}

function isNaN64(word: bigint): boolean {
  const magnitude = word & 0x7fffffffffffffffn;
  return magnitude > 0x7ff0000000000000n;
}

test("baseline and optimised code differ in the sum and the product of two NaNs, and in nothing else", () => {
  const baseline = bits("--liftoff-only");
  const optimized = bits("--no-liftoff");
  expect(baseline.length).toBe((2 * BINARY.length + UNARY.length) * WORDS.length ** 2);
  const differing = baseline.filter((line, index) => line !== optimized[index]);
  expect(differing.filter((line) => !isDocumented(line))).toEqual([]);
});
