import { SHARE_ENV, Worker } from "node:worker_threads";
import { invariant, VermilionError } from "../../pmem/error.js";
import { deserializeError } from "../process/serialized-error.js";
import { STACK_MEGABYTES } from "../process/stack-size.js";
import type { ExploreOrder, ExploreReport, ExploreWorkerData } from "./explore-protocol.js";

type Answer = Exclude<ExploreReport, { kind: "failed" }>;

/** A thread of an exploration, seen from the main one: one order at a time. */
export class ExploreThread {
  readonly #worker: Worker;
  #settle: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;

  constructor(workerData: ExploreWorkerData) {
    this.#worker = new Worker(new URL("../testing/worker.cjs", import.meta.url), {
      workerData,
      resourceLimits: { stackSizeMb: STACK_MEGABYTES.deepResume },
      execArgv: [],
      env: SHARE_ENV,
      trackUnmanagedFds: false,
      name: "vermilion explore",
    });
    this.#worker.on("message", (report: ExploreReport) => {
      if (report.kind === "failed") this.#fail(deserializeError(report.error));
      else this.#settle?.resolve(report);
    });
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", () =>
      this.#fail(new VermilionError("WORKER_ENDED", "a thread of the exploration ended early")),
    );
  }

  async ask<Kind extends Answer["kind"]>(order: ExploreOrder, kind: Kind): Promise<Extract<Answer, { kind: Kind }>> {
    const answer = await new Promise<Answer>((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#worker.postMessage(order);
    });
    invariant(isOf(answer, kind), `the thread answers "${answer.kind}" out of turn`);
    return answer;
  }

  /** Only when it is idle: the FFI aborts the whole program when its thread is ended inside a call. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #fail(error: Error): void {
    this.#settle?.reject(error);
  }
}

function isOf<Kind extends Answer["kind"]>(answer: Answer, kind: Kind): answer is Extract<Answer, { kind: Kind }> {
  return answer.kind === kind;
}
