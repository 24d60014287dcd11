/**
 * When a running guest is due for a persistence point: on request of the main thread, after a time, after a number of
 * host calls. Asked by the worker, between two instructions of the guest.
 *
 * Time and calls count from the end of the last point, not from its beginning: on a slow disk points become rarer, and
 * the guest always gets its share.
 */
import { VermilionError } from "../../pmem/error.js";
import type { ControlBlock } from "./control-block.js";

/** Persistence points during a run: whichever of the two comes first. */
export interface PersistEvery {
  /** Time between two points, in which the guest runs or waits. */
  readonly milliseconds?: number | undefined;
  /** At every Nth host call, before it is made. */
  readonly hostCalls?: number | undefined;
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
  /** Milliseconds as of `performance.now`; undefined: never. */
  #dueAt: number | undefined;
  #callsLeft = Number.POSITIVE_INFINITY;
  #hostCalls = 0;
  /** The last request that was taken. */
  #ticket = 0;

  constructor(control: ControlBlock) {
    this.#control = control;
  }

  /** The guest begins to run. */
  begin(every: PersistEvery): void {
    this.#every = every;
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
    return this.isRequested || (this.#dueAt !== undefined && performance.now() >= this.#dueAt);
  }

  isDueAtCall(): boolean {
    this.#hostCalls++;
    this.#callsLeft--;
    return this.#callsLeft <= 0 || this.isDue();
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
    this.#dueAt = milliseconds === undefined ? undefined : performance.now() + milliseconds;
    this.#callsLeft = hostCalls ?? Number.POSITIVE_INFINITY;
  }
}
