/** The public door for tests of power failures: vermilion/testing. */
export type { CrashPoint, CrashPointKind, CrashState, Domain, DomainRun } from "./crash-states.js";
