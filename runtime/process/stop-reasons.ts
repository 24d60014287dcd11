/** Whether a guest that polls is to be stopped, and what for. */
import { bodyByteLength } from "../wasm/module.js";
import type { ContinuationRegistry } from "./continuation-registry.js";
import type { Fuel } from "./fuel.js";
import type { MachineHost } from "./machine-host.js";
import type { Replacement } from "./on-stack-replacement.js";
import type { PointMoments } from "./point-moments.js";
import type { Program } from "./program.js";
import { RunningFunctions } from "./running-functions.js";

export type Stop = "failure" | "replacement" | "point" | "callback";

export interface StopParts {
  readonly program: Program;
  readonly host: MachineHost;
  readonly fuel: Fuel;
  readonly replacement: Replacement;
  /** Undefined: any moment is right for a point. */
  readonly moments: PointMoments | undefined;
  readonly continuations: ContinuationRegistry;
}

export class StopReasons {
  readonly #parts: StopParts;
  /** Made when it is first needed: few runs are long enough. */
  #running: RunningFunctions | undefined;

  constructor(parts: StopParts) {
    this.#parts = parts;
  }

  /** To be called in a poll. */
  ask(): Stop | undefined {
    const { program, host, fuel, replacement } = this.#parts;
    if (fuel.isLeft) host.lowerFlag?.();
    else if (fuel.isGone()) return "failure";
    if (host.failurePending()) return "failure";
    if (host.points?.isDue() === true && this.isPointsMoment()) return "point";
    // Deterministic failures count safepoints; what they strike must not depend on the time.
    if (program.mode === "exact" || !replacement.isDue()) return undefined;
    return this.#isWorthReplacing() ? "replacement" : undefined;
  }

  /** Whether the point that is due is to be made now: in a poll, or in front of a call of the host's function. */
  isPointsMoment(hostFunction?: number): boolean {
    const { host, moments } = this.#parts;
    if (moments === undefined) return true;
    const isGood = moments.isGood(host.points?.patience?.() ?? 0, hostFunction);
    if (isGood) moments.taken();
    return isGood;
  }

  /** A first guess, before anything is stopped for it. */
  #isWorthReplacing(): boolean {
    const { program, replacement, continuations } = this.#parts;
    this.#running ??= new RunningFunctions(program, continuations);
    const byteLength = this.#running.list().reduce((sum, index) => sum + bodyByteLength(program.module, index), 0);
    return replacement.affords(byteLength) && byteLength > 0;
  }
}
