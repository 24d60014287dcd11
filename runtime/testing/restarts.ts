import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { attempt } from "../../pmem/error.js";
import { cacheDirectory } from "../process/cache-directory.js";
import { Tally } from "./explore-protocol.js";
import { ExploreThread } from "./explore-thread.js";
import type { RestartExploration, RestartExploreOptions } from "./restarts-here.js";

/**
 * Causes power failures after which the program begins again with what its persistence domain leaves of the ranges that it
 * announced, and with what the disk has of its files, until one is found that it does not survive.
 * docs/programming-models.md
 *
 * In a thread of its own, with room for deep stacks: guests run inside of each other's calls. NOT_FOUND and its like: the
 * module cannot be read. MODULE_INVALID, MODULE_UNSUPPORTED, UNKNOWN_IMPORT. REFERENCE_FAILED: the program does not even end
 * well without a failure. CHECKER_INVALID, NO_SUCH_EXPORT, FILES_UNSUPPORTED. TRACE_INVALID, BAD_ARGUMENT: `at`.
 */
export async function exploreRestarts(options: RestartExploreOptions): Promise<RestartExploration> {
  const module = resolve(options.module);
  const bytes = options.moduleBytes ?? attempt("read the module", module, () => readFileSync(module));
  const moduleBytes = new Uint8Array(bytes);
  const thread = new ExploreThread({
    subject: { module, moduleBytes, args: [], env: [], preopens: [], stdin: undefined, seed: 1 },
    ...{ aspects: [], checkerExport: undefined, keepsContents: false, checker: undefined, folder: "" },
    cacheDirectory: cacheDirectory(),
    mostFailures: undefined,
    tally: new Tally().buffer,
  });
  try {
    const order = { kind: "restarts", options: { ...options, moduleBytes } } as const;
    return (await thread.ask(order, "restarted")).exploration;
  } finally {
    await thread.end();
  }
}
