/** What is looked at before a guest is there: its module, its limits, its plan. */
import { resourceLimits } from "node:worker_threads";
import { VermilionError } from "../../pmem/error.js";
import { libc } from "../../pmem/libc.js";
import { type Module, WASM_PAGE_BYTE_LENGTH } from "../wasm/module.js";
import type { Command } from "./command.js";
import type { ControlBlock } from "./control-block.js";
import { type FailurePlan, plannedSafepoint } from "./failure-source.js";
import type { Injection } from "./machine-host.js";
import { needsMoreStack } from "./stack-size.js";

/** A failure, or the end, came before anything on the disk was touched. */
export class StartCancelled extends Error {
  override readonly name = "StartCancelled";
}

/** The thread's stack is too short for what it would go on with. Nothing has been changed. */
export class StackTooShort extends Error {
  override readonly name = "StackTooShort";
}

/** StackTooShort: before anything is put together for a thread that cannot run it. */
export function checkStack(frames: number): void {
  if (needsMoreStack(frames, resourceLimits.stackSizeMb ?? 0)) throw new StackTooShort();
}

/** Something that takes long and calls nothing through the FFI: C6 in control-block.ts. */
export function interruptibly<Result>(control: ControlBlock, action: () => Result): Result {
  let stopped: boolean;
  let result: Result;
  control.enterInterruptible();
  try {
    result = action();
  } finally {
    stopped = control.leaveInterruptible();
  }
  if (stopped) throw new StartCancelled();
  return result;
}

/** What is wrong with a module is said by layers that do not know its name. */
export function naming<Result>(path: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof VermilionError)) throw error;
    throw new VermilionError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

export function createWakeDescriptor(): number {
  const descriptor = libc().createEvent();
  if (descriptor >= 0) return descriptor;
  throw new VermilionError(
    "TOO_MANY_OPEN_FILES",
    `cannot create an event descriptor (errno ${-descriptor}); raise ulimit -n`,
  );
}

export function limitsOf({ maximumDescriptors }: Command): { maximumDescriptors?: number } {
  return maximumDescriptors === null ? {} : { maximumDescriptors };
}

export function injectionOf(plan: FailurePlan, epoch: number): Injection {
  const atSafepoint = plannedSafepoint(plan, epoch);
  return {
    ...(atSafepoint === undefined ? {} : { atSafepoint }),
    ...(plan.atCall === undefined ? {} : { atCall: plan.atCall }),
  };
}

/** MEMORY_LIMIT, while nothing has been touched. */
export function checkFirstMemory({ memories }: Module, { maxMemoryByteLength: limit }: Command): void {
  const byteLength = memories.reduce((sum, { minimum }) => sum + minimum, 0) * WASM_PAGE_BYTE_LENGTH;
  if (limit === null || byteLength <= limit) return;
  throw new VermilionError(
    "MEMORY_LIMIT",
    `the module begins with ${byteLength} bytes of memory, more than max-memory-size=${limit} allows; raise it`,
  );
}

/** The image holds what this program cannot have left. */
export function misfit(path: string, reason: string, cause?: unknown): VermilionError {
  const next = "the image cannot be used: restore it from a copy, or start again with --fresh";
  return new VermilionError("IMAGE_DAMAGED", `${path}: ${reason}; ${next}`, { cause });
}
