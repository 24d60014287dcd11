import { setFlagsFromString } from "node:v8";
import type { MessagePort, Worker } from "node:worker_threads";
import { invariant, VermilionError } from "../../pmem/error.js";
import { libc } from "../../pmem/libc.js";
import { ControlBlock } from "./control-block.js";
import { PASS_OVER_HINTS } from "./engine-flags.js";
import { type GuestThread, startGuestThread, type ThreadOptions } from "./guest-thread.js";
import { serveCompiler } from "./optimizing-compiler.js";
import { PointRequests } from "./point-requests.js";
import { PollReminder } from "./poll-reminder.js";
import type { ExitOrder, Order, Outcome, PrecompileOrder, PrepareOrder, Report, RunOrder } from "./protocol.js";
import { type FormAhead, transferable } from "./read-ahead.js";
import { serveCommit } from "./remote-commit.js";
import { LogChoresServer } from "./remote-log-keeper.js";
import { deserializeError } from "./serialized-error.js";

type Prepared = Extract<Report, { kind: "prepared" }>;

/** A failure came before the guest had begun; nothing has changed. */
export type Cancelled = { readonly kind: "cancelled" };

type Arrival = Answer | Cancelled | Error;

/** What ends an order; all other reports come in between. */
type Answer = Exclude<
  Report,
  {
    kind:
      | "notice"
      | "instrumenting"
      | "running"
      | "replaying"
      | "persisted"
      | "notPersisted"
      | "commit"
      | "fill"
      | "log";
  }
>;

/**
 * A worker is not terminated while it carries out an order, if that can be helped: the FFI aborts the whole program when
 * its thread is ended inside a call. What takes longer than this is instrumenting, or loading imports, which call nothing
 * and say so (C6 in control-block.ts). Everything else is waited for, however long a disk or a loaded machine takes.
 */
const PATIENCE_MILLISECONDS = 200;

/** A guest that was killed and still runs is in a host function that does not return. */
const RUNNING_PATIENCE_MILLISECONDS = 1000;

export interface SessionEvents {
  /** One line for the user: what is not as he would expect. */
  readonly notice?: ((message: string) => void) | undefined;
  /** Instrumenting a module of that many bytes begins. */
  readonly instrumenting?: ((byteLength: number) => void) | undefined;
  readonly replaying?: ((calls: number, progress: number) => void) | undefined;
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
  readonly threadOptions: ThreadOptions;
  readonly #control: ControlBlock;
  readonly #worker: Worker;
  readonly #logChores: LogChoresServer;
  #events: SessionEvents = {};
  #settle: ((arrival: Arrival) => void) | undefined;
  readonly #points = new PointRequests();
  readonly #reminder = new PollReminder(() => this.#control.raiseFlag());
  /** What came before anybody waited for it. */
  readonly #early: Arrival[] = [];
  /** An order was given and not answered yet. */
  #busy = false;
  #prepared = false;
  /** The order is to run. */
  #running = false;
  #cancelled = false;
  /** The last one that was begun. */
  #commit: Promise<void> = Promise.resolve();
  /** Whoever waits for the answer before ending the worker. */
  #idle: (() => void) | undefined;

  constructor(thread: GuestThread = startGuestThread()) {
    this.threadOptions = thread.options;
    this.#control = ControlBlock.over(thread.control);
    this.#logChores = new LogChoresServer(this.#control);
    this.#worker = thread.worker as Worker;
    serveCompiler(thread.compiler as MessagePort, this.#control);
    this.#worker.on("message", (report: Report) => this.#receive(report));
    this.#worker.on("error", (error) => this.#gone(error));
    this.#worker.on("exit", () => this.#gone(new VermilionError("WORKER_ENDED", "the guest's thread ended early")));
  }

  /** Opens or creates the image and loads the program. "needsStack": to be done again in a session with a long stack. */
  prepare(order: PrepareOrder, events: SessionEvents): Promise<Prepared | Cancelled | { readonly kind: "needsStack" }> {
    this.#events = events;
    this.#send({ kind: "prepare", order }, order.ahead && transferable(order.ahead.module));
    return this.#next("prepared", "needsStack", "cancelled");
  }

  /** Has the thread compile what the next order most likely needs. False: not here, since it takes flags of the engine. */
  precompile(form: FormAhead): boolean {
    if (this.threadOptions.engineFlags === undefined) return false;
    const order: PrecompileOrder = { kind: "precompile", form };
    this.#worker.postMessage(order, transferable(form.content.bytes));
    return true;
  }

  run(order: RunOrder): Promise<{ readonly kind: "ended"; readonly outcome: Outcome } | Cancelled> {
    this.#send({ kind: "run", order });
    return this.#next("ended", "cancelled");
  }

  /** Follows the log of the prepared guest; nothing is changed by that. */
  follow(toCall: number | undefined): Promise<Extract<Answer, { kind: "followed" }> | Cancelled> {
    this.#send({ kind: "follow", toCall });
    return this.#next("followed", "cancelled");
  }

  /** Before the guest has begun: cancels. Afterwards: the guest stops at its next safepoint. */
  powerFail(): void {
    if (!this.#control.requestFailure()) return;
    this.#cancelled = true;
    if (!this.#busy) this.#arrive({ kind: "cancelled" });
    else setTimeout(() => this.#busy && this.#arrive({ kind: "cancelled" }), PATIENCE_MILLISECONDS).unref();
  }

  /** The same as `persist`, for nobody in particular. */
  requestPoint(): void {
    this.#control.requestPoint();
  }

  /** The epoch of a persistence point that is at least as new as this call; PROCESS_OVER: the guest ended first. */
  persist(): Promise<number> {
    return this.#points.add(this.#control.requestPoint());
  }

  /** Whether the guest waits for another call. A failure that came too late for the last one must not strike the next. */
  get reusable(): boolean {
    return this.#prepared && !this.#control.failurePending;
  }

  /** Ends the worker. A guest that has not begun leaves everything as it was found; one that runs is killed. */
  async end(): Promise<void> {
    this.#worker.ref();
    this.#control.requestKill();
    await this.#untilIdle();
    if (this.#prepared) {
      this.#send({ kind: "discard" });
      await this.#untilIdle();
    }
    await this.#commit; // its files are the image's
    await this.#worker.terminate();
    if (this.threadOptions.engineFlags !== undefined) PASS_OVER_HINTS.forEach(setFlagsFromString); // if in a compilation
    this.#points.answer(Number.POSITIVE_INFINITY, new VermilionError("PROCESS_CLOSED", "the guest runs no more"));
    this.#control.closeDescriptors();
  }

  /**
   * Ends the whole program from the worker, which must be idle. Node would wait for every thread of the engine, also for
   * one that compiles a large function, which can take seconds; the system does not. On a machine with much to do this thread
   * may have to do it, though it must load the FFI for that.
   */
  exitProgram(status: number): Promise<never> {
    const order: ExitOrder = { kind: "exit", status };
    this.#worker.ref();
    this.#worker.postMessage(order);
    return new Promise(() => setTimeout(() => libc().exit(status), PATIENCE_MILLISECONDS));
  }

  #untilIdle(): Promise<void> {
    if (!this.#busy) return Promise.resolve();
    return new Promise((resolve) => {
      const since = performance.now();
      const timer = setInterval(() => this.#mayBeEnded(performance.now() - since) && done(), PATIENCE_MILLISECONDS);
      const done = () => {
        clearInterval(timer);
        resolve();
      };
      this.#idle = done;
    });
  }

  #mayBeEnded(waitedMilliseconds: number): boolean {
    if (this.#control.interruptible) return true;
    const runs = this.#running && !this.#control.cancelled; // else it is only let go of, which ends by itself
    return runs && waitedMilliseconds > RUNNING_PATIENCE_MILLISECONDS;
  }

  /** Whether the worker keeps this program alive. */
  hold(alive: boolean): void {
    if (alive) this.#worker.ref();
    else this.#worker.unref();
  }

  #send(order: Order, transfer: readonly ArrayBuffer[] = []): void {
    this.#busy = true;
    this.#prepared = false;
    this.#running = order.kind === "run";
    this.#worker.postMessage(order, transfer);
  }

  #receive(report: Report): void {
    if (report.kind === "notice") this.#events.notice?.(report.message);
    else if (report.kind === "instrumenting") this.#events.instrumenting?.(report.byteLength);
    else if (report.kind === "replaying") this.#events.replaying?.(report.calls, report.progress);
    else if (report.kind === "running") {
      this.#reminder.begin(report.period);
      this.#events.running?.();
    } else if (report.kind === "persisted") this.#points.answer(report.ticket, report.epoch);
    else if (report.kind === "notPersisted") this.#points.answer(report.ticket, deserializeError(report.error));
    else if (report.kind === "commit") this.#commit = serveCommit(report.commit, this.#control);
    else if (report.kind === "log") this.#logChores.serve(report.chores);
    else if (report.kind === "fill") libc().fill(report.address, report.byteLength);
    else this.#answer(report);
  }

  #answer(report: Answer): void {
    if (report.kind === "ended") this.#points.answer(Number.POSITIVE_INFINITY, savedBy(report.outcome));
    this.#reminder.end();
    this.#busy = false;
    this.#prepared = report.kind === "prepared" || (report.kind === "ended" && report.outcome.kind === "returned");
    this.#idle?.();
    if (report.kind === "discarded") return;
    if (report.kind === "failed") {
      const error = deserializeError(report.error);
      this.#points.answer(Number.POSITIVE_INFINITY, error);
      this.#arrive(error);
    } else if (this.#cancelled && report.kind !== "ended") this.#arrive({ kind: "cancelled" });
    else this.#arrive(report);
  }

  #gone(cause: Error): void {
    const error = this.#control.killed
      ? new VermilionError("PROCESS_CLOSED", "the guest was killed", { cause })
      : cause;
    this.#points.answer(Number.POSITIVE_INFINITY, error);
    this.#reminder.end();
    this.#busy = false;
    this.#prepared = false;
    this.#idle?.();
    this.#arrive(error);
  }

  #arrive(arrival: Arrival): void {
    const settle = this.#settle;
    this.#settle = undefined;
    if (settle === undefined) this.#early.push(arrival);
    else settle(arrival);
  }

  async #next<Kind extends (Answer | Cancelled)["kind"]>(
    ...kinds: Kind[]
  ): Promise<Extract<Answer | Cancelled, { kind: Kind }>> {
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

/** What a run's end means for those who wait for a persistence point. */
function savedBy(outcome: Outcome): number | Error {
  if (outcome.kind === "powerFailed" || outcome.kind === "returned") return outcome.epoch;
  return new VermilionError("PROCESS_OVER", "the guest ended before the persistence point");
}

function isOneOf<Kind extends string, All extends { readonly kind: string }>(
  arrival: All,
  kinds: readonly Kind[],
): arrival is Extract<All, { kind: Kind }> {
  return kinds.some((kind) => kind === arrival.kind);
}
