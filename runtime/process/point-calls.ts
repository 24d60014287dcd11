/**
 * What guest-examples/vermilion.h offers a program that decides itself when it is persisted: imports of the module
 * "vermilion". docs/persistence-model.md#from-the-program
 */
import type { HostFunction, HostResult } from "./machine-host.js";

/** Parameters and results, by import name: "I" is an i64. */
export const POINT_SIGNATURES: Readonly<Record<string, readonly [params: string, results: string]>> = {
  persist: ["", "I"],
  epoch: ["", "I"],
};

export interface PointCalls {
  /** The epoch of a point that is made behind this call; what a resume from it returns instead is its negative. */
  persist(): bigint;
  epoch(): bigint;
}

/** `logged`: the call's result goes to the log, or comes from it; then nothing is made. */
export function pointCalls(
  calls: PointCalls,
  logged: (label: string, call: () => HostResult) => HostResult,
): Readonly<Record<string, HostFunction>> {
  return {
    persist: () => {
      let isMade = false;
      const epoch = logged("vermilion.persist", () => {
        isMade = true;
        return calls.persist();
      });
      return isMade ? -BigInt(epoch as bigint) : epoch;
    },
    epoch: () => logged("vermilion.epoch", () => calls.epoch()),
  };
}
