import { describe, expect, test, vi } from "vitest";
import { Machine } from "../../../runtime/process/machine.js";
import type { MachineHost, PersistencePoints } from "../../../runtime/process/machine-host.js";
import { NO_REPLACEMENT } from "../../../runtime/process/on-stack-replacement.js";
import type { BackgroundCompiler, Compiled } from "../../../runtime/process/optimizing-compiler.js";
import { Program } from "../../../runtime/process/program.js";
import { compileOptimized } from "../../support/compile-optimized.js";
import { assemble } from "./harness.js";

/** Recursion, a table, polls in loops, and host calls, for as long as the host wants more. */
const PROGRAM = `(module
  (import "env" "more" (func $more (result i32)))
  (import "env" "log" (func $log (param i32)))
  (memory 1)
  (type $binary (func (param i32 i32) (result i32)))
  (table funcref (elem $sum))
  (func $sum (type $binary) (local $i i32)
    (loop $l
      (local.set 0 (i32.xor (local.get 0) (i32.mul (local.get 1) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 3000))))
    (local.get 0))
  (func $descend (param $n i32) (result i32)
    (if (result i32) (i32.eqz (local.get $n))
      (then (call_indirect (type $binary) (i32.const 7) (i32.const 9) (i32.const 0)))
      (else (i32.add (call $descend (i32.sub (local.get $n) (i32.const 1))) (local.get $n)))))
  (func (export "run") (local $turns i32)
    (loop $again
      (call $log (call $descend (i32.and (local.get $turns) (i32.const 7))))
      (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
      (br_if $again (call $more)))))`;

interface Observed {
  readonly points: number;
  /** Times that a stop found no continuation for some frame. */
  readonly lacking: number;
  readonly log: readonly number[];
}

/** For as many points as are asked for, however busy the machine is. */
const LONGEST_MILLISECONDS = 30_000;

function run(background: BackgroundCompiler, patience: PersistencePoints["patience"], enough = 20): Observed {
  const program = Program.load(assemble(PROGRAM), { cacheDirectory: undefined, exact: false });
  const quick = vi.spyOn(program.continuationModules, "compiled");
  const log: number[] = [];
  let points = 0;
  const until = performance.now() + (enough === 0 ? 400 : LONGEST_MILLISECONDS);
  const more = () => (enough === 0 || points < enough) && performance.now() < until;
  const host: MachineHost = {
    functions: {
      env: { more: () => (more() ? 1 : 0), log: (value) => void log.push(Number(value)) },
    },
    attachMemory: () => {},
    growMemory: () => true,
    failurePending: () => false,
    exitStatus: () => undefined,
    points: {
      isDue: () => true,
      isDueAtCall: () => true,
      ...(patience === undefined ? {} : { patience }),
      persist: () => {
        points++;
        return undefined;
      },
    },
  };
  expect(new Machine(program, host, NO_REPLACEMENT, background).start("run")).toEqual({
    kind: "returned",
    results: [],
  });
  return { points, lacking: quick.mock.calls.length, log };
}

/** Finishes at once what is begun. */
class Prompt implements BackgroundCompiler {
  readonly isOptimizing: boolean;
  #module: WebAssembly.Module | undefined;
  constructor(isOptimizing: boolean) {
    this.isOptimizing = isOptimizing;
  }
  begin(bytes: Uint8Array, optimized: boolean): void {
    expect(this.#module).toBe(undefined);
    expect(optimized && !this.isOptimizing).toBe(false);
    this.#module = optimized ? compileOptimized(bytes) : new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  }
  finished(): Compiled | undefined {
    const module = this.#module;
    this.#module = undefined;
    return module && { module };
  }
}

const idle: BackgroundCompiler = { isOptimizing: true, begin: () => {}, finished: () => undefined };

/** One turn's values, in the order of the turns. */
function expectedLog(count: number): number[] {
  let sum = 7;
  for (let i = 0; i < 3000; i++) sum ^= 9 * i;
  return Array.from({ length: count }, (_, turn) => sum + ((turn & 7) * ((turn & 7) + 1)) / 2);
}

describe("the moment of a point that is due by time", () => {
  test.each([
    ["in optimised code", true],
    ["in any code", false],
  ])("comes when every frame has a continuation %s: few are made while the guest stands still", (_, isOptimizing) => {
    const { points, lacking, log } = run(new Prompt(isOptimizing), () => 1e9);
    expect(points).toBeGreaterThanOrEqual(20);
    expect(lacking).toBeLessThan(points / 4); // what the trace says is a good guess; see function-sites.ts
    expect(log).toEqual(expectedLog(log.length));
  });

  test("does not come while they are being compiled, as long as there is patience", () => {
    expect(run(idle, () => 1e9, 0).points).toBe(0);
  });

  test("comes all the same when patience ends", () => {
    const { points, lacking, log } = run(idle, () => 50, 3);
    expect(points).toBeGreaterThanOrEqual(3);
    expect(lacking).toBeGreaterThan(0);
    expect(log).toEqual(expectedLog(log.length));
  });

  test("is now for one that cannot wait", () => {
    expect(run(idle, undefined, 100).points).toBeGreaterThanOrEqual(100);
  });
});
