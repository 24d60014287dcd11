/** The public door for tests of power failures: vermilion/testing. */
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
