/** What a machine needs from the process around it, and what tests may ask of it. */
import type { MachineState } from "./image/state-file.js";

export type HostFunction = (...args: (number | bigint)[]) => HostResult;

/** Several results are an array. */
export type HostResult = number | bigint | undefined | readonly (number | bigint)[];

/** Returned by a host function that was interrupted before it did anything: the same call is made again on resume. */
export const RESTART = -1;

/** Returned likewise: tell the program that the power had failed, if it wants to be told, and then make the same call. */
export const TELL = -2;

export interface MachineHost {
  readonly functions: Readonly<Record<string, Readonly<Record<string, HostFunction>>>>;
  /** Modules among them whose functions never restart, and mean -1 when they return it. */
  readonly unrestartable?: ReadonlySet<string>;
  /** Maps the region of a memory, after making the memory as long as the region. Before any guest code. For a program
   * of the "flag" form, memory 0 gets its flag. */
  attachMemory(index: number, memory: WebAssembly.Memory): void;
  /** Makes room in the region; false: the guest's memory.grow returns -1. */
  growMemory(index: number, byteLength: number): boolean;
  /** Whether a power failure is pending. Cheap: asked at every host call and some ten thousand times a second. */
  failurePending(): boolean;
  /** Told behind every store of a tracking program into its first memory; the bytes are there. */
  stored?(address: number, byteLength: number): void;
  /** A poll of the "flag" form has seen the flag up. */
  lowerFlag?(): void;
  /** Undefined: the guest is never stopped to be persisted. */
  readonly points?: PersistencePoints;
  /** The exit status that an error thrown by a host function stands for, or undefined when it stands for none. */
  exitStatus(error: unknown): number | undefined;
}

/** Persistence points during a run: the guest is stopped, its state taken, and it goes on. */
export interface PersistencePoints {
  /** Whether to stop now. As cheap as `failurePending`. */
  isDue(): boolean;
  /**
   * Asked first in front of a host call: true if no failure is pending and nothing due, as far as can be seen at once. Else
   * `failurePending` and `isDueAtCall` are asked as well, as without it.
   */
  passesCall?(): boolean;
  /** The same as `isDue` in front of a host call, each of which is asked about once. */
  isDueAtCall(): boolean;
  /** The same behind a host call that has been made; undefined: never. */
  isDueAfterCall?(): boolean;
  /** Modules behind whose calls that is asked; undefined: all. */
  readonly askedAfter?: ReadonlySet<string>;
  /** For how many milliseconds the point that is due may wait for a better moment. Undefined: not at all. */
  patience?(): number;
  /**
   * The guest has stopped, and goes on when this returns. A result is for the host call behind which it has stopped, instead
   * of the one that it has in the state: an i64.
   */
  persist(state: MachineState, frames: number): bigint | undefined;
}

/** A failure to cause, for tests. Safepoints are counted from the start of this run, host calls included. */
export interface Injection {
  readonly atSafepoint?: number;
  /** Name "*": any host call. */
  readonly atCall?: { readonly name: string; readonly ordinal: number; readonly when: "before" | "after" };
}
