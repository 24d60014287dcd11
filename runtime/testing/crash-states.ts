/**
 * Where a power failure may strike, and what it may leave: what the explorer and the persistence domains agree on.
 *
 * The explorer runs the program along one path and stops at crash points. At each it asks the domain which states of
 * memory a failure there may leave, lets a second machine go on from each of them, and judges how that ends. The domain
 * knows caches, flushes and fences; the explorer knows frames, files, output and oracles.
 */
import type { FrameInspection } from "../process/frame-inspection.js";
import type { HostFunction } from "../process/machine-host.js";

/**
 * call-before: the call has not been made. call-inside: it waits, and has done nothing or a part. call-after: it has been
 * made. store, flush, fence: right behind that instruction, where a domain tells them apart.
 */
export type CrashPointKind = "call-before" | "call-inside" | "call-after" | "safepoint" | "store" | "flush" | "fence";

export interface CrashPoint {
  readonly kind: CrashPointKind;
  /** From 1, among the points of the run that count alike: host calls, safepoints, or the domain's events. */
  readonly ordinal: number;
  /** The guest's stack, innermost first. */
  readonly where: readonly FrameInspection[];
}

/** What one power failure may leave of a process's memory. The explorer brings everything else. */
export interface CrashState {
  /**
   * Which of the states that are possible at a point: the same point, seed and choice are the same state. It is part of the
   * command that repeats a failure: letters, digits, "." and "-".
   */
  readonly choice: string;
  /** Of all that survives in memory: equal ones need to be looked at once. */
  readonly digest: string;
  /**
   * frames: execution goes on where it was, with everything stored. restart: it begins at main, with fresh globals, and
   * nothing but what `load` brings.
   */
  readonly goesOn: "frames" | "restart";
  /**
   * Puts what survived into the memories of another machine. After a restart these hold the program's data segments and are
   * as long as the module says; it makes them longer where it must.
   */
  load(memories: readonly WebAssembly.Memory[]): void;
}

/** One run of a guest, seen by a persistence domain. */
export interface DomainRun {
  /** What the guest may import for it, by module and name; flushes and fences among them. */
  readonly functions: Readonly<Record<string, Readonly<Record<string, HostFunction>>>>;
  /** Before any guest code. After a restart the memory holds what survived. */
  attach(memories: readonly WebAssembly.Memory[]): void;
  /**
   * The states that a failure right now may leave, the likeliest to be wrong first; the explorer takes as many as it affords.
   * Each is valid until the next is asked for.
   */
  statesNow(seed: number): Iterable<CrashState>;
}

export interface Domain {
  readonly name: string;
  /** The form of the module that tells the domain of its stores; the module itself where it needs none. */
  prepare(module: Uint8Array): Uint8Array;
  /** `reached` is to be called behind each event, while the guest stands still in one of `functions`. */
  begin(reached: (kind: "store" | "flush" | "fence") => void): DomainRun;
}
