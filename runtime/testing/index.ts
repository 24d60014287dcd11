/** The public door for tests of power failures: vermilion/testing. */
export type { CrashPoint, CrashPointKind, CrashState, Domain, DomainRun } from "./crash-states.js";
export {
  type Exploration,
  type ExploreFinding,
  type ExploreOptions,
  type ExploreProgress,
  explore,
  repeatFailure,
} from "./explore.js";
export type { Aspect, Difference, Ending } from "./observation.js";
