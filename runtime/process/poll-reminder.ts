/**
 * Raises the flag of a running guest from time to time, so that what is due by time (a persistence point, code to be
 * replaced) is looked at although nobody asks. Counted polls do without.
 *
 * What is due for replacement comes at times that double, so the pauses grow with the run.
 */
const SHORTEST_MS = 10;
const LONGEST_MS = 200;
/** A pause, as a part of the time that the guest has run. */
const SHARE_OF_RUN = 1 / 8;
/** How late a persistence point may be, as a part of its period. */
const SHARE_OF_PERIOD = 1 / 8;

export class PollReminder {
  readonly #raise: () => void;
  #longest = LONGEST_MS;
  #startedAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(raise: () => void) {
    this.#raise = raise;
  }

  /** The guest begins to run. `period`: milliseconds between persistence points. */
  begin(period = Number.POSITIVE_INFINITY): void {
    this.end();
    this.#longest = Math.min(LONGEST_MS, period * SHARE_OF_PERIOD);
    this.#startedAt = performance.now();
    this.#wait();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    const fitting = Math.max(SHORTEST_MS, (performance.now() - this.#startedAt) * SHARE_OF_RUN);
    this.#timer = setTimeout(
      () => {
        this.#raise();
        this.#wait();
      },
      Math.max(1, Math.min(fitting, this.#longest)),
    );
    this.#timer.unref();
  }
}
