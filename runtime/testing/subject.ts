import type { Preopen } from "../process/command.js";

/** A program and what it is given: plain data that can be sent to another process. */
export interface Subject {
  /** Path of the module, for messages. */
  readonly module: string;
  readonly moduleBytes: Uint8Array;
  /** With argv[0]. */
  readonly args: readonly string[];
  readonly env: readonly (readonly [string, string])[];
  /** The originals. No run touches them: each has copies of its own. */
  readonly preopens: readonly Preopen[];
  /** A file; undefined: nothing to read. */
  readonly stdin: string | undefined;
  /** Of all random bytes that it asks for. */
  readonly seed: number;
}
