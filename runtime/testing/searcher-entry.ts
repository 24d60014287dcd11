/** The entry of a searcher: its thread, which alone can have a stack as long as guests need, and the way there. */
import { Worker } from "node:worker_threads";
import { VermilionError } from "../../pmem/error.js";
import { serializeError } from "../process/serialized-error.js";
import { STACK_MEGABYTES } from "../process/stack-size.js";
import type { SearcherData, SearchReport } from "./searcher-protocol.js";

function report(what: SearchReport): void {
  process.send?.(what);
}

function begin(workerData: SearcherData): void {
  const worker = new Worker(new URL("../testing/worker.cjs", import.meta.url), {
    workerData,
    resourceLimits: { stackSizeMb: STACK_MEGABYTES.deepResume },
    trackUnmanagedFds: false,
    name: "vermilion explore",
  });
  const failed = (error: unknown): void => report({ kind: "failed", error: serializeError(error) });
  worker.on("message", report);
  worker.on("error", failed);
  worker.on("exit", () => failed(new VermilionError("WORKER_ENDED", "a searcher's thread ended early")));
  process.on("message", (order) => worker.postMessage(order));
}

process.once("message", (data) => begin(data as SearcherData));
// Whoever started us is gone, or has no more use for us. Not exit(): it would wait for the thread, in the middle of a run.
process.once("disconnect", () => process.kill(process.pid, "SIGKILL"));
