import { describe, expect, test } from "vitest";
import { isNearCall } from "../../../runtime/instrument/near-call.js";
import { Machine } from "../../../runtime/process/machine.js";
import { type MachineHost, RESTART } from "../../../runtime/process/machine-host.js";
import { Program } from "../../../runtime/process/program.js";
import { wasmStack } from "../../../runtime/process/wasm-stack.js";
import { assemble } from "./harness.js";

const OFFSETS = [0n, 1n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 53n, -1n, -(2n ** 63n)];

/** Seeks to each of them, and ends with the sum of the results. */
const SEEKS = `(module
  (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
  (memory 1)
  (func (export "run") (result i32)
    ${OFFSETS.map((offset) => `(call $seek (i32.const 3) (i64.const ${offset}) (i32.const 0) (i32.const 8))`).join("\n")}
    ${OFFSETS.slice(1)
      .map(() => "(i32.add)")
      .join(" ")}))`;

function hostOf(
  seek: (...args: (number | bigint)[]) => number,
  points: MachineHost["points"],
  failurePending = () => false,
): MachineHost {
  return {
    functions: { wasi_snapshot_preview1: { fd_seek: seek } },
    attachMemory: () => undefined,
    growMemory: () => true,
    failurePending,
    exitStatus: () => undefined,
    ...(points && { points }),
  };
}

/** Of a running guest: nothing is ever due. */
const NO_POINTS: NonNullable<MachineHost["points"]> = {
  isDue: () => false,
  isDueAtCall: () => false,
  passesCall: () => true,
  persist: () => undefined,
};

const program = Program.load(assemble(SEEKS), { cacheDirectory: undefined, exact: false });

describe.each([
  ["asked about", undefined],
  ["passing at once", NO_POINTS],
])("a call with a 64-bit argument, %s", (_, points) => {
  test("small ones are numbers, others bigints", () => {
    const got: unknown[] = [];
    const machine = new Machine(
      program,
      hostOf((fd, offset, whence, out) => {
        got.push([fd, offset, whence, out]);
        return 2;
      }, points),
    );
    expect(machine.start("run")).toEqual({ kind: "returned", results: [2 * OFFSETS.length] });
    expect(got).toEqual(OFFSETS.map((one) => [3, one >= 0n && one < 2n ** 31n ? Number(one) : one, 0, 8]));
  });

  test("a call that is left, before it is made or while it waits: made again with the same argument", () => {
    for (const [ordinal, offset] of OFFSETS.entries()) {
      const got: bigint[] = [];
      let waits = ordinal % 2 === 0;
      let failing = false;
      const seek = (_fd: number | bigint, to: number | bigint): number => {
        if (waits && BigInt(to) === offset) {
          waits = false;
          failing = true;
          return RESTART;
        }
        got.push(BigInt(to));
        return 1;
      };
      const host = () => hostOf(seek, points, () => failing);
      const machine = new Machine(program, host());
      const atCall = { name: "fd_seek", ordinal: ordinal + 1, when: "before" as const };
      const first = machine.start("run", [], waits ? {} : { atCall });
      if (first.kind !== "suspended") throw new Error(first.kind);
      failing = false;
      const next = new Machine(program, host());
      next.restore(first.state);
      expect(next.resume({ callback: false })).toEqual({ kind: "returned", results: [OFFSETS.length] });
      expect(got).toEqual(OFFSETS);
    }
  });

  test("an error of the host ends the run", () => {
    const machine = new Machine(
      program,
      hostOf(() => {
        throw new TypeError("of the host");
      }, points),
    );
    expect(() => machine.start("run")).toThrow(TypeError);
  });

  test("a stack trace shows the program only", () => {
    const modules = new Set<string>();
    const machine = new Machine(
      program,
      hostOf(() => {
        expect(`${new Error().stack}`).toContain("wasm://wasm/near-call-");
        for (const { module } of wasmStack()) modules.add(module);
        return 0;
      }, points),
    );
    machine.start("run");
    expect(modules.size).toBe(1);
    expect([...modules].some(isNearCall)).toBe(false);
  });
});
