import { VermilionError } from "../../pmem/error.js";
import { type GuestThread, startGuestThread } from "./guest-thread.js";
import { needsExactCounts, orderOf, type ProcessOptions, reopening } from "./process-options.js";
import type { CallOrder, Followed, Outcome, PrepareOrder, Resumption } from "./protocol.js";
import { type FormAhead, readAhead } from "./read-ahead.js";
import { Session, type SessionEvents } from "./session.js";
import { STACK_MEGABYTES } from "./stack-size.js";
import { StartLearning } from "./start-learning.js";

/** A session that waits for the end of the program. */
let lastSession: Session | undefined;

/** A session started ahead, before anyone knows for what. */
let spare: Session | undefined;

/** For the next process that is prepared. */
export function keepThread(thread: GuestThread): void {
  spare ??= new Session(thread);
  spare.hold(false);
}

/** Does not return if a session waits for that; see `ProcessOptions.endsProgram`. */
export async function exitProgram(status: number): Promise<void> {
  await lastSession?.exitProgram(status);
}

/** In a session of its own, which is over when this returns. */
export async function followLog(
  order: PrepareOrder,
  options: ProcessOptions,
  toCall: number | undefined,
): Promise<Followed> {
  const session = new Session(startGuestThread(STACK_MEGABYTES.deepResume));
  try {
    session.hold(true);
    await session.prepare(order, eventsOf(options));
    const answer = await session.follow(toCall);
    if (answer.kind === "followed") return answer.followed;
    throw new VermilionError("PROCESS_CLOSED", `${order.image}: a power failure came first`);
  } finally {
    await session.end();
  }
}

/**
 * The sessions of one process, one after another: each is made for a run, and over with it.
 *
 *     none --prepare--> prepared --run--> none
 *                                    --> waiting (an instance, for its next call) --run--> ...
 *          --prepare--> cancelled --run, which ends at once--> none
 *
 * P1  Nothing goes from a session to the next but the image, and the order that brings it back.
 * P2  A session that waits, for its run or for the next call, does not keep the program alive.
 */
export class ProcessSessions {
  readonly #options: ProcessOptions;
  /** How to get the process again, for a run without a session. */
  #order: PrepareOrder;
  #session: Session | undefined;
  #resumes: Resumption | undefined;
  /** A failure came before the session could begin. */
  #cancelled = false;
  /** An instance between two calls, in its session. */
  #waiting = false;
  /** Of the run that was prepared first. */
  #learning: StartLearning | undefined;
  #onRunning: () => void = () => {};

  constructor(order: PrepareOrder, options: ProcessOptions) {
    this.#order = order;
    this.#options = options;
  }

  /** Where the next run goes on; undefined: at the program's beginning, or nowhere. */
  get resumes(): Resumption | undefined {
    return this.#resumes;
  }

  async prepare(): Promise<void> {
    const events: SessionEvents = { ...eventsOf(this.#options), running: () => this.#onRunning() };
    const booting = takeSpare();
    this.#session = booting ?? new Session();
    this.#session.hold(true);
    const { ahead, form } = (booting && readInto(booting, this.#order)) ?? {};
    this.#learning = form && StartLearning.begin(form, this.#order);
    let report = await this.#session.prepare({ ...this.#order, ahead }, events);
    if (report.kind === "needsStack") {
      const shallow = this.#session;
      this.#session = new Session(startGuestThread(STACK_MEGABYTES.deepResume, shallow.threadOptions));
      this.#session.hold(true);
      const again = booting && readInto(this.#session, this.#order);
      await shallow.end(); // while the other one boots
      report = await this.#session.prepare({ ...this.#order, ahead: again?.ahead }, events);
    }
    if (report.kind === "prepared") this.#resumes = report.resumes;
    else this.#cancelled = true;
    this.#session.hold(false); // P2: this process may never be run
  }

  /** One run, in the session that is prepared or waits, or else in a new one. `options`: of the process and this run. */
  async run(call: CallOrder | undefined, options: ProcessOptions): Promise<Outcome> {
    const plan = options.failure ?? {};
    const exact = needsExactCounts(plan);
    if (this.#order.exact !== exact) {
      await this.end();
      this.#order = { ...this.#order, exact };
    }
    if (this.#session === undefined && !this.#cancelled) await this.prepare();
    const session = this.#session;
    this.#waiting = false;
    const timers: NodeJS.Timeout[] = [];
    let reason: "failure" | "timeLimit" = "failure";
    this.#onRunning = () => {
      const { timeLimitMilliseconds: limit } = options;
      if (plan.afterMilliseconds !== undefined) timers.push(setTimeout(() => this.powerFail(), plan.afterMilliseconds));
      if (limit === undefined) return;
      const expire = () => {
        reason = "timeLimit";
        this.powerFail();
      };
      timers.push(setTimeout(expire, limit));
    };
    session?.hold(true);
    const running = this.#cancelled ? undefined : session?.run(orderOf(call, options));
    const end = await running?.finally(() => timers.forEach(clearTimeout));
    this.#cancelled = false;
    if (end?.kind === "ended") {
      this.#resumes = resumptionBehind(end.outcome);
      if (end.outcome.kind === "powerFailed") this.#learning?.cancel();
      else await this.#learning?.end();
      this.#learning = undefined;
      if (end.outcome.kind !== "returned") this.#letGo();
      else if (session?.reusable === true) this.#wait(session);
      else await this.end();
      this.#order = reopening(this.#order, this.#options); // P1
      return end.outcome.kind === "powerFailed" ? { ...end.outcome, reason } : end.outcome;
    }
    await this.end();
    return {
      kind: "powerFailed",
      reason,
      epoch: this.#resumes?.epoch ?? 0,
      frames: this.#resumes?.frames ?? 0,
      saveMilliseconds: 0,
    };
  }

  /** Strikes the run, also one that has yet to begin; not an instance that waits. */
  powerFail(): void {
    if (!this.#waiting) this.#session?.powerFail();
  }

  /** The same as `persist`, for nobody in particular. */
  requestPoint(): void {
    this.#session?.requestPoint();
  }

  /** The epoch of a point that is made for this call; undefined: there is no session. */
  persist(): Promise<number> | undefined {
    return this.#session?.persist();
  }

  /** The session's end, and that of a guest that runs in it. */
  async end(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    this.#waiting = false;
    await session?.end();
  }

  #wait(session: Session): void {
    this.#waiting = true;
    session.hold(false); // P2
  }

  /** The guest has ended, and its thread has let go of the image. */
  #letGo(): void {
    if (this.#options.endsProgram === true) {
      lastSession = this.#session;
      this.#session = undefined;
    } else void this.end();
  }
}

function resumptionBehind(outcome: Outcome): Resumption | undefined {
  return outcome.kind === "powerFailed" && outcome.epoch > 0
    ? { epoch: outcome.epoch, frames: outcome.frames, loggedCalls: null }
    : undefined;
}

function eventsOf(options: ProcessOptions): SessionEvents {
  return { notice: options.onNotice, instrumenting: options.onInstrument, replaying: options.onReplay };
}

/** What the thread of a session needs, read while it boots, and the program's form, which it has been given already. */
function readInto(session: Session, order: PrepareOrder) {
  let form: FormAhead | undefined;
  const ahead = readAhead(order, (read) => {
    if (session.precompile(read)) form = read;
  });
  return { ahead, form: form?.hash === ahead?.hash ? form : undefined };
}

function takeSpare(): Session | undefined {
  const session = spare;
  spare = undefined;
  return session;
}
