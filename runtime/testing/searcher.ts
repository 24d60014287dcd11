import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { invariant, VermilionError } from "../../pmem/error.js";
import { deserializeError } from "../process/serialized-error.js";
import type { SearcherData, SearchOrder, SearchReport } from "./searcher-protocol.js";

type Answer = Exclude<SearchReport, { kind: "failed" }>;

/**
 * One of those who search at the same time, seen from the exploration: one order at a time.
 *
 * A process each: a search maps and unmaps memory at each point, and the threads of one process wait for each other there.
 * docs/testing.md#how-it-is-fast-and-what-that-leaves-out
 */
export class Searcher {
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  #gone: Error | undefined;
  #settle: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;

  constructor(data: SearcherData) {
    this.#process = fork(fileURLToPath(new URL("../testing/searcher-entry.cjs", import.meta.url)), {
      execArgv: [], // what this program was started with (--eval, --input-type ...) is not for a searcher
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      detached: true, // Ctrl-C is for whoever started it, who ends it first
    });
    this.#ended = once(this.#process, "close");
    this.#ended.catch(() => {}); // told of below
    this.#process.on("message", (report: SearchReport) => {
      if (report.kind === "failed") this.#settle?.reject(deserializeError(report.error));
      else this.#settle?.resolve(report);
    });
    this.#process.on("error", (error) => this.#end(error.message));
    this.#process.on("exit", (status, signal) => this.#end(signal ?? `status ${status}`));
    this.#tell(data);
  }

  async ask<Kind extends Answer["kind"]>(order: SearchOrder, kind: Kind): Promise<Extract<Answer, { kind: Kind }>> {
    const answer = await new Promise<Answer>((resolve, reject) => {
      if (this.#gone !== undefined) reject(this.#gone);
      this.#settle = { resolve, reject };
      this.#tell(order);
    });
    invariant(isOf(answer, kind), `the searcher answers "${answer.kind}" out of turn`);
    return answer;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  /** When it has ended nothing of it writes any more. */
  async end(): Promise<void> {
    this.kill();
    await this.#ended.catch(() => {});
  }

  #tell(message: SearcherData | SearchOrder): void {
    if (this.#gone === undefined) this.#process.send(message, () => {}); // if nobody reads it, "exit" says why
  }

  #end(reason: string): void {
    this.#gone ??= new VermilionError("WORKER_ENDED", `a process of the exploration ended early: ${reason}`);
    this.#settle?.reject(this.#gone);
  }
}

function isOf<Kind extends Answer["kind"]>(answer: Answer, kind: Kind): answer is Extract<Answer, { kind: Kind }> {
  return answer.kind === kind;
}
