/**
 * Fuel: a global of the guest's that its polls burn down; the host is asked when it is gone, and fills it again.
 *
 * Fuel between two polls follows what it bought last time, so that polls come about every hundred microseconds: often
 * enough for a save to begin at once, seldom enough to cost nothing. The limit bounds the wait when a program that was
 * in small loops begins to do heavy work in each turn.
 */
const POLL_INTERVAL_MS = 0.1;
const LEAST_FUEL = 64;
const MOST_FUEL = 8192;

export class Fuel {
  readonly #global: WebAssembly.Global<"i32">;
  /** Fuel used up before it was last set, and what it was set to then. */
  #consumed = 0;
  #set = 0;
  /** Fuel for one interval, and when the last one began (milliseconds). */
  #ration = LEAST_FUEL;
  #filledAt = 0;
  /** Safepoint at which to fail. */
  #failAt = Number.POSITIVE_INFINITY;
  /** Safepoint at which the host is asked, whatever fuel there would be. */
  #askAt = Number.POSITIVE_INFINITY;
  /** How often this run crosses a host call again at which it was stopped before; that does not count. */
  #recrossed = 0;

  constructor(global: WebAssembly.Global<"i32">) {
    this.#global = global;
  }

  /** Begins a run. */
  arm(failAt: number | undefined): void {
    this.#recrossed = 0;
    this.#failAt = failAt ?? Number.POSITIVE_INFINITY;
    this.#consumed = 0;
    this.#filledAt = performance.now();
    this.#fill();
  }

  /** The next safepoint is one that was crossed already, before the guest was stopped. */
  recross(): void {
    this.#recrossed++;
    this.#failAt++;
    this.#askAt++;
  }

  /** The host is asked at this safepoint of the run; before the run, or while the guest stands still. */
  askAt(safepoint: number): void {
    this.#consumed += this.#set - this.#global.value;
    this.#askAt = safepoint + this.#recrossed;
    this.#fill();
  }

  /** Safepoints crossed since the run began; exact programs only. */
  get safepointsCrossed(): number {
    return this.#consumed + this.#set - this.#global.value - this.#recrossed;
  }

  /** Crosses a safepoint of the host's: says whether it is the wanted one. */
  burn(): boolean {
    const left = this.#global.value - 1;
    this.#global.value = left;
    return left <= 0 && this.isGone();
  }

  /** Whether there is some; a poll that comes nevertheless comes by the flag. */
  get isLeft(): boolean {
    return this.#global.value > 0;
  }

  /** The fuel is gone: says whether the wanted safepoint is reached, else fills it again. */
  isGone(): boolean {
    this.#consumed += this.#set;
    this.#set = 0;
    if (this.#consumed >= this.#failAt) return true;
    const now = performance.now();
    const fitting = (this.#ration * POLL_INTERVAL_MS) / Math.max(now - this.#filledAt, POLL_INTERVAL_MS / MOST_FUEL);
    this.#ration = Math.floor(Math.min(MOST_FUEL, this.#ration * 2, Math.max(LEAST_FUEL, fitting)));
    this.#filledAt = now;
    this.#fill();
    return false;
  }

  #fill(): void {
    const next = this.#askAt > this.#consumed ? Math.min(this.#askAt, this.#failAt) : this.#failAt;
    this.#set = Math.min(this.#ration, next - this.#consumed);
    this.#global.value = this.#set;
  }
}
