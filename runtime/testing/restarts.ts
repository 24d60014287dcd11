import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { cacheDirectory } from "../process/cache-directory.js";
import { readModuleFile } from "../process/module-file.js";
import { nothingSeen } from "./explore.js";
import { Tally } from "./explore-protocol.js";
import { ExploreThread } from "./explore-thread.js";
import type { RestartExploration, RestartExploreOptions } from "./restarts-here.js";
import { ScratchFolder } from "./scratch-folder.js";

/**
 * Causes power failures after which the program begins again with what its persistence domain leaves of the ranges that it
 * announced, and with what the disk has of its files, until one is found that it does not survive.
 * docs/programming-models.md
 *
 * In threads of its own, with room for deep stacks: guests run inside of each other's calls. NOT_FOUND and its like: the
 * module cannot be read. MODULE_INVALID, MODULE_UNSUPPORTED, UNKNOWN_IMPORT. BUDGET_ENDED. REFERENCE_FAILED: the program does not even end
 * well without a failure. CHECKER_INVALID, NO_SUCH_EXPORT, FILES_UNSUPPORTED. TRACE_INVALID, BAD_ARGUMENT: `at`.
 */
export async function exploreRestarts(options: RestartExploreOptions): Promise<RestartExploration> {
  const module = resolve(options.module);
  const bytes = options.moduleBytes ?? readModuleFile(module);
  const moduleBytes = new Uint8Array(bytes);
  const jobs = options.at === undefined ? Math.max(1, options.jobs ?? availableParallelism()) : 1;
  const tally = new Tally();
  const folder = new ScratchFolder();
  const threads = Array.from({ length: jobs }, (_, index) =>
    threadFor(module, moduleBytes, tally, join(folder.path, `${index}`)),
  );
  try {
    // All of them, also when one fails: a thread that is ended in the middle of a call takes the whole program with it.
    const explorations = await Promise.allSettled(
      threads.map(async (thread, index) => {
        const order = { kind: "restarts", options: { ...options, moduleBytes }, part: { index, count: jobs } } as const;
        try {
          return (await thread.ask(order, "restarted")).exploration;
        } catch (error) {
          tally.stop();
          throw error;
        }
      }),
    );
    const exploration = joined(explorations.map(resultOf));
    if (exploration.points === 0 && !exploration.complete && exploration.finding === undefined)
      throw nothingSeen(module);
    return exploration;
  } finally {
    tally.stop();
    await Promise.all(threads.map((thread) => thread.end()));
    folder.remove();
  }
}

function resultOf<Value>(result: PromiseSettledResult<Value>): Value {
  if (result.status === "rejected") throw result.reason;
  return result.value;
}

function threadFor(module: string, moduleBytes: Uint8Array, { buffer: tally }: Tally, folder: string): ExploreThread {
  return new ExploreThread({
    subject: { module, moduleBytes, args: [], env: [], preopens: [], stdin: undefined, seed: 1 },
    ...{ aspects: [], checkerExport: undefined, keepsContents: false, checker: undefined, folder },
    ...{ cacheDirectory: cacheDirectory(), mostFailures: undefined, tally },
  });
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
