import { Worker } from "node:worker_threads";
import { invariant, VermilionError } from "../../pmem/error.js";
import { ControlBlock } from "./control-block.js";
import type { Order, Outcome, PrepareOrder, Report, RunOrder, WorkerData } from "./protocol.js";
import { deserializeError } from "./serialized-error.js";
import { STACK_MEGABYTES } from "./stack-size.js";

export type Prepared = Extract<Report, { kind: "prepared" }>;

/** A failure came before the guest had begun; nothing has changed. */
export type Cancelled = { readonly kind: "cancelled" };

type Arrival = Report | Cancelled | Error;

export interface SessionEvents {
  /** One line for the user: what is not as he would expect. */
  readonly notice?: ((message: string) => void) | undefined;
  /** Instrumenting a module of that many bytes begins. */
  readonly instrumenting?: ((byteLength: number) => void) | undefined;
  /** The guest runs from now on. */
  readonly running?: (() => void) | undefined;
}

/**
 * One worker and the one run of a guest in it, seen from the main thread.
 *
 * The worker boots while its options are still being parsed, so it is started without knowing them. A new session for
 * every run: what a guest's engine state was is gone with its thread, and the image is the only memory.
 */
export class Session {
  readonly #control = ControlBlock.create();
  readonly #stackMegabytes: number;
  readonly #worker: Worker;
  #events: SessionEvents = {};
  #settle: ((arrival: Arrival) => void) | undefined;
  /** What came before anybody waited for it. */
  readonly #early: Arrival[] = [];

  constructor(stackMegabytes: number = STACK_MEGABYTES.usual) {
    this.#stackMegabytes = stackMegabytes;
    const workerData: WorkerData = { control: this.#control.buffer };
    this.#worker = new Worker(new URL("./worker.cjs", import.meta.url), {
      workerData,
      resourceLimits: { stackSizeMb: stackMegabytes },
      execArgv: [], // what this program was started with (--eval, --input-type ...) is not for the worker
      name: "vermilion guest",
    });
    this.#worker.on("message", (report: Report) => this.#receive(report));
    this.#worker.on("error", (error) => this.#arrive(error));
    this.#worker.on("exit", () => this.#arrive(new VermilionError("WORKER_ENDED", "the guest's thread ended early")));
  }

  get stackMegabytes(): number {
    return this.#stackMegabytes;
  }

  /** Opens or creates the image and loads the program. "needsStack": to be done again in a session with a long stack. */
  prepare(order: PrepareOrder, events: SessionEvents): Promise<Prepared | Cancelled | { readonly kind: "needsStack" }> {
    this.#events = events;
    this.#send({ kind: "prepare", order });
    return this.#next("prepared", "needsStack", "cancelled");
  }

  run(order: RunOrder): Promise<{ readonly kind: "ended"; readonly outcome: Outcome } | Cancelled> {
    this.#send({ kind: "run", order });
    return this.#next("ended", "cancelled");
  }

  /** Before the guest has begun: cancels, and the worker ends. Afterwards: the guest stops at its next safepoint. */
  powerFail(): void {
    if (!this.#control.requestFailure()) return;
    this.#arrive({ kind: "cancelled" });
    void this.end();
  }

  /** Ends the worker, wherever it is. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  /** Whether the worker keeps this program alive. */
  hold(alive: boolean): void {
    if (alive) this.#worker.ref();
    else this.#worker.unref();
  }

  #send(order: Order): void {
    this.#worker.postMessage(order);
  }

  #receive(report: Report): void {
    if (report.kind === "notice") this.#events.notice?.(report.message);
    else if (report.kind === "instrumenting") this.#events.instrumenting?.(report.byteLength);
    else if (report.kind === "running") this.#events.running?.();
    else if (report.kind === "failed") this.#arrive(deserializeError(report.error));
    else this.#arrive(report);
  }

  #arrive(arrival: Arrival): void {
    const settle = this.#settle;
    this.#settle = undefined;
    if (settle === undefined) this.#early.push(arrival);
    else settle(arrival);
  }

  async #next<Kind extends (Report | Cancelled)["kind"]>(
    ...kinds: Kind[]
  ): Promise<Extract<Report | Cancelled, { kind: Kind }>> {
    const arrival = await new Promise<Arrival>((resolve) => {
      this.#settle = resolve;
      const early = this.#early.shift();
      if (early !== undefined) this.#arrive(early);
    });
    if (arrival instanceof Error) throw arrival;
    invariant(isOneOf(arrival, kinds), `the worker reports "${arrival.kind}" out of turn`);
    return arrival;
  }
}

function isOneOf<Kind extends string, All extends { readonly kind: string }>(
  arrival: All,
  kinds: readonly Kind[],
): arrival is Extract<All, { kind: Kind }> {
  return kinds.some((kind) => kind === arrival.kind);
}
