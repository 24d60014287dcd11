/** The public door for tests of power failures: vermilion/testing. */
export type { PersistenceDomain } from "../../pmem/cache-model.js";
export { describeExploration, describeFinding } from "./exploration-text.js";
export {
  type Exploration,
  type ExploredRun,
  type ExploreFinding,
  type ExploreOptions,
  type ExploreProgress,
  explore,
  type PowerFailedRun,
  powerFailAt,
} from "./explore.js";
export type { Aspect, Difference, Ending } from "./observation.js";
export type { RestartFinding } from "./restart-finding.js";
export type { RestartPointKind } from "./restart-run.js";
export { describeRestartFinding } from "./restart-text.js";
export { exploreRestarts } from "./restarts.js";
export type { RestartExploration, RestartExploreOptions } from "./restarts-here.js";
