/**
 * When a running guest is due for a persistence point: on request of the main thread, after a time, after a number of
 * host calls. Asked by the worker, between two instructions of the guest.
 *
 * With a log, one is due as well when a recovery would have too much of the guest's work to repeat.
 *
 * Time and calls count from the end of the last point, not from its beginning: on a slow disk points become rarer, and
 * the guest always gets its share. While the one before is still being committed, none but a request is due.
 */
import { readFileSync } from "node:fs";
import { VermilionError } from "../../pmem/error.js";
import type { ControlBlock } from "./control-block.js";

const MOST_CALLS_PER_LOOK = 64;
const SLOW_CALLS_MILLISECONDS = 1;
/** What the guest needs at a point is made within some tens of milliseconds. */
const LEAST_PATIENCE_MILLISECONDS = 200;

/** Persistence points during a run: whichever of the two comes first. */
export interface PersistEvery {
  /** Time between two points, in which the guest runs or waits. */
  readonly milliseconds?: number | undefined;
  /** At every Nth host call, before it is made. */
  readonly hostCalls?: number | undefined;
  /** The guest waits until each of them is durable, instead of going on meanwhile. Default: false. */
  readonly synchronous?: boolean | undefined;
}

/** USAGE. */
export function checkPersistEvery({ milliseconds, hostCalls }: PersistEvery): void {
  if (milliseconds !== undefined && !(milliseconds > 0)) {
    throw new VermilionError("USAGE", `a persistence point every ${milliseconds} ms: it is a number above 0`);
  }
  if (hostCalls !== undefined && !(Number.isSafeInteger(hostCalls) && hostCalls > 0)) {
    throw new VermilionError("USAGE", `a persistence point every ${hostCalls} host calls: it is a whole number from 1`);
  }
}

export class PointSchedule {
  readonly #control: ControlBlock;
  #every: PersistEvery = {};
  #target: number | undefined;
  /** Processor time at the last point. */
  #usedBefore = 0;
  /** Nothing is due before that, as of `performance.now`, unless it is asked for. */
  #lookAt = Number.POSITIVE_INFINITY;
  /** Milliseconds as of `performance.now`; undefined: never. */
  #dueAt: number | undefined;
  #callsLeft = Number.POSITIVE_INFINITY;
  #hostCalls = 0;
  /** The host call at which to look at the clock, how many later the next look is, and when the last one was. */
  #lookAtCall = 0;
  #stride = 1;
  #lookedAt = 0;
  /** The last request that was taken. */
  #ticket = 0;

  constructor(control: ControlBlock) {
    this.#control = control;
  }

  /** The guest begins to run. `target`: milliseconds of processor time that a recovery may have to repeat. */
  begin(every: PersistEvery, target?: number): void {
    this.#every = every;
    this.#target = target;
    this.done();
  }

  /** Why the next point is made, if it is due. */
  get reason(): "request" | "calls" | "period" {
    if (this.isRequested) return "request";
    return this.#callsLeft <= 0 ? "calls" : "period";
  }

  /** Host calls that were asked about. */
  get hostCalls(): number {
    return this.#hostCalls;
  }

  isDue(): boolean {
    if (this.isRequested) return true;
    return !this.#control.commitInFlight && performance.now() >= this.#lookAt && this.#timeIsUp();
  }

  /** At a host call: whether no failure is seen and nothing can be due. Otherwise nothing has been counted: ask `isDueAtCall`. */
  passesCall(): boolean {
    if (this.#callsLeft <= 1 || this.#hostCalls + 1 >= this.#lookAtCall) return false;
    if (!this.#control.seesNothing(this.#ticket)) return false;
    this.#hostCalls++;
    this.#callsLeft--;
    return true;
  }

  /** Calls that follow each other fast do not all look at the clock: that would cost a tenth of a short one. */
  isDueAtCall(): boolean {
    this.#hostCalls++;
    this.#callsLeft--;
    if (this.#callsLeft <= 0 && !this.#control.commitInFlight) return true;
    if (this.#hostCalls < this.#lookAtCall) return this.isRequested;
    const now = performance.now();
    this.#stride = now - this.#lookedAt > SLOW_CALLS_MILLISECONDS ? 1 : Math.min(MOST_CALLS_PER_LOOK, this.#stride * 2);
    this.#lookedAt = now;
    this.#lookAtCall = this.#hostCalls + this.#stride;
    return this.isDue();
  }

  #timeIsUp(): boolean {
    const now = performance.now();
    if (this.#dueAt !== undefined && now >= this.#dueAt) return true;
    if (this.#target === undefined) return false;
    const used = processorTime() - this.#usedBefore;
    if (used >= this.#target) return true;
    this.#lookAt = Math.min(this.#dueAt ?? Number.POSITIVE_INFINITY, now + this.#target - used);
    return false;
  }

  /** For how many milliseconds a point that is due may wait for a moment at which it costs less. */
  get patience(): number {
    const { milliseconds } = this.#every;
    const isPeriods = this.#dueAt !== undefined && performance.now() >= this.#dueAt && this.reason === "period";
    if (milliseconds === undefined || !isPeriods) return 0;
    return Math.max(2 * milliseconds, LEAST_PATIENCE_MILLISECONDS);
  }

  /** Whether the guest waits until the next point is durable: somebody asked for it, or wants all of them so. */
  get isSynchronous(): boolean {
    return this.isRequested || this.#every.synchronous === true;
  }

  /** Somebody waits: worth interrupting a call that blocks. */
  get isRequested(): boolean {
    return this.#control.pointsRequested !== this.#ticket;
  }

  /** The state that is about to be saved answers every request until now: says which was the last. */
  take(): number {
    this.#ticket = this.#control.pointsRequested;
    return this.#ticket;
  }

  /** The point is made, or has failed: the next one counts from here. */
  done(): void {
    const { milliseconds, hostCalls } = this.#every;
    const now = performance.now();
    this.#dueAt = milliseconds === undefined ? undefined : now + milliseconds;
    this.#callsLeft = hostCalls ?? Number.POSITIVE_INFINITY;
    if (this.#target !== undefined) this.#usedBefore = processorTime();
    this.#lookAt = Math.min(this.#dueAt ?? Number.POSITIVE_INFINITY, now + (this.#target ?? Number.POSITIVE_INFINITY));
  }
}

/** Milliseconds that this thread has had of a processor; without the kernel's word on it, those that have passed. */
function processorTime(): number {
  try {
    return Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[0]) / 1e6;
  } catch {
    return performance.now();
  }
}
