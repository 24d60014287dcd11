/** A small guest for the explorer's tests: everything a failure could lose is part of what it prints. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { MachineState } from "../../runtime/process/image/state-file.js";
import { Program } from "../../runtime/process/program.js";
import { Explorer } from "../../runtime/testing/explorer.js";
import type { Aspect } from "../../runtime/testing/observation.js";
import type { Subject } from "../../runtime/testing/subject.js";
import { assembleText } from "../support/guests.js";

const IMPORTS = `
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)`;

/** Prints numbers that follow from locals, a global, memory, time and random bytes; `more` is added to the module. */
export function countingGuest(more = ""): string {
  return `(module ${IMPORTS} ${more}
    (global $sum (mut i32) (i32.const 0))
    (func $write (param $fd i32) (param $value i32) (local $at i32)
      (local.set $at (i32.const 64))
      (i32.store8 (local.get $at) (i32.const 10))
      (loop $digits
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10))))
        (local.set $value (i32.div_u (local.get $value) (i32.const 10)))
        (br_if $digits (local.get $value)))
      (i32.store (i32.const 0) (local.get $at))
      (i32.store (i32.const 4) (i32.sub (i32.const 65) (local.get $at)))
      (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func $work (param $n i32) (result i32) (local $i i32) (local $value i32)
      (local.set $value (local.get $n))
      (loop $again
        (local.set $value (i32.add (i32.mul (local.get $value) (i32.const 31)) (local.get $i)))
        (i32.store (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 4))) (local.get $value))
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8))))
      (local.get $value))
    (func (export "_start") (local $n i32)
      (drop (memory.grow (i32.const 1)))
      (i32.store8 (i32.const 100) (i32.const 102)) ;; "f"
      (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 1)
        (i64.const 0x40) (i64.const 0) (i32.const 0) (i32.const 104)))
      (loop $next
        (global.set $sum (i32.add (global.get $sum) (call $work (local.get $n))))
        (call $write (i32.const 1) (global.get $sum))
        (if (i32.and (local.get $n) (i32.const 1)) (then (call $write (i32.load (i32.const 104)) (local.get $n))))
        (i32.store (i32.const 216) (i32.const 1)) ;; a monotonic clock, 5 ms
        (i64.store (i32.const 224) (i64.const 5000000))
        (drop (call $poll_oneoff (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 296)))
        (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 400)))
        (drop (call $random (i32.const 408) (i32.const 4)))
        (global.set $sum (i32.add (global.get $sum) (i32.add (i32.load (i32.const 400)) (i32.load (i32.const 408)))))
        (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 6))))))`;
}

export interface ExplorerOptions {
  readonly corrupt?: (state: MachineState) => MachineState;
  readonly exportName?: string;
  readonly aspects?: readonly Aspect[];
}

const folder = mkdtempSync(join(tmpdir(), "vermilion-explorer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** In this thread, with the reference taken. */
export function explorerOf(text: string, options: ExplorerOptions = {}): Explorer {
  const moduleBytes = assembleText(text);
  const program = Program.load(moduleBytes, { cacheDirectory: undefined, exact: true });
  const data = mkdtempSync(join(folder, "data-"));
  const subject: Subject = {
    ...{ module: "guest.wasm", moduleBytes, args: ["guest.wasm"], env: [], stdin: undefined, seed: 1 },
    preopens: [{ host: data, guest: "/" }],
  };
  const aspects = new Set(options.aspects ?? (["stdout", "exit", "files"] as const));
  const checkers = { aspects, exportName: options.exportName, keepsContents: false, program: undefined };
  const runs = mkdtempSync(join(folder, "runs-"));
  return new Explorer(program, subject, runs, checkers, { isOver: () => false, looked: () => {} }, options.corrupt);
}
