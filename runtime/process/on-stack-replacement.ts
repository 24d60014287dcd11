/**
 * On-stack replacement: the guest is stopped on purpose, and goes on at once in continuations that the optimising tier
 * has compiled.
 *
 * V8 never replaces the code of a wasm activation that is running. A loop in a program's main function, or an
 * interpreter's one large function, so stays in baseline code for as long as it runs; a stop ends that. The guest sees
 * nothing of it. docs/rationale.md#on-stack-replacement
 *
 * When to stop: at times that double, because what has run long is likely to run on. Compiling holds the guest up, so it
 * may take a share of the time that the guest has run, and no more.
 */
import { type Compile, OPTIMIZING_SPEED } from "./optimizing-compiler.js";

const FIRST_STOP_MS = 40;
const GROWTH = 2;
/** Of the time since the run began, for compiling. */
const SHARE = 0.2;

export interface Replacement {
  /** The guest begins to run. */
  begin(): void;
  /** Whether to stop now. Asked about every hundred microseconds. */
  isDue(): boolean;
  /** Whether compiling that many bytes of function bodies is worth its time now. If not, a stop is due once it is. */
  affords(byteLength: number): boolean;
  readonly compile: Compile;
  /** That many bytes have been compiled; and the guest goes on. */
  done(byteLength: number, milliseconds: number): void;
}

/** Where nothing may be optimised from scratch. */
export const NO_REPLACEMENT: Replacement = {
  begin: () => {},
  isDue: () => false,
  affords: () => false,
  compile: () => undefined,
  done: () => {},
};

export class ReplacementSchedule implements Replacement {
  readonly compile: Compile;
  #startedAt = 0;
  #stopAt = 0;
  #spent = 0;
  #speed = OPTIMIZING_SPEED;

  constructor(compile: Compile) {
    this.compile = compile;
  }

  begin(): void {
    this.#startedAt = performance.now();
    this.#stopAt = this.#startedAt + FIRST_STOP_MS;
    this.#spent = 0;
  }

  isDue(): boolean {
    return performance.now() >= this.#stopAt;
  }

  affords(byteLength: number): boolean {
    const ran = performance.now() - this.#startedAt;
    const needed = (this.#spent + byteLength / this.#speed) / SHARE;
    this.#stopAt = this.#startedAt + Math.max(ran * GROWTH, needed);
    return needed <= ran;
  }

  done(byteLength: number, milliseconds: number): void {
    this.#spent += milliseconds;
    if (milliseconds >= 1) this.#speed = (this.#speed + byteLength / milliseconds) / 2;
    const now = performance.now();
    this.#stopAt = Math.max(this.#stopAt, now + (now - this.#startedAt) * (GROWTH - 1));
  }
}
