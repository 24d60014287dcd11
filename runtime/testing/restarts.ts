import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { readModuleFile } from "../process/module-file.js";
import { nothingSeen } from "./explore.js";
import type { RestartExploration, RestartExploreOptions } from "./restarts-here.js";
import { withSearchers } from "./searchers.js";

/**
 * Causes power failures after which the program begins again with what its persistence domain leaves of the ranges that it
 * announced, and with what the disk has of its files, until one is found that it does not survive.
 * docs/programming-models.md
 *
 * NOT_FOUND and its like: the module cannot be read. MODULE_INVALID, MODULE_UNSUPPORTED, UNKNOWN_IMPORT. BUDGET_ENDED.
 * REFERENCE_FAILED: the program does not even end well without a failure. CHECKER_INVALID, NO_SUCH_EXPORT, FILES_UNSUPPORTED. TRACE_INVALID, BAD_ARGUMENT: `at`.
 */
export async function exploreRestarts(options: RestartExploreOptions): Promise<RestartExploration> {
  const module = resolve(options.module);
  const moduleBytes = new Uint8Array(options.moduleBytes ?? readModuleFile(module));
  const jobs = options.at === undefined ? Math.max(1, options.jobs ?? availableParallelism()) : 1;
  const exploration = await withSearchers(jobs, dataFor(module, moduleBytes), async (searchers) =>
    joined(
      await Promise.all(
        searchers.map(async (searcher, index) => {
          const order = {
            kind: "restarts",
            options: { ...options, moduleBytes },
            part: { index, count: jobs },
          } as const;
          return (await searcher.ask(order, "restarted")).exploration;
        }),
      ),
    ),
  );
  if (exploration.points === 0 && !exploration.complete && exploration.finding === undefined) throw nothingSeen(module);
  return exploration;
}

/** All of it is in the order. */
function dataFor(module: string, moduleBytes: Uint8Array) {
  return {
    subject: { module, moduleBytes, args: [], env: [], preopens: [], stdin: undefined, seed: 1 },
    ...{ aspects: [], checkerExport: undefined, keepsContents: false, checker: undefined, mostFailures: undefined },
  };
}

/** Of the findings the shortest chain, and of these the one that strikes first. */
function joined(explorations: readonly RestartExploration[]): RestartExploration {
  const sum = (name: "points" | "sampled" | "guests" | "pruned"): number =>
    explorations.reduce((total, exploration) => total + exploration[name], 0);
  const findings = explorations.flatMap(({ finding }) => (finding === undefined ? [] : [finding]));
  const [finding] = findings.sort(
    (a, b) => a.failures.length - b.failures.length || (a.failures[0]?.event ?? 0) - (b.failures[0]?.event ?? 0),
  );
  return {
    ...(explorations[0] as RestartExploration),
    ...{ points: sum("points"), sampled: sum("sampled"), guests: sum("guests"), pruned: sum("pruned") },
    milliseconds: Math.max(...explorations.map(({ milliseconds }) => milliseconds)),
    complete: explorations.every(({ complete }) => complete),
    finding,
  };
}
