/**
 * The real-time clock, mostly without asking for it: the engine reads the monotonic clock by a call that it makes directly, and
 * both clocks differ by a constant.
 *
 * The kernel corrects their rates together; the difference changes only when somebody sets the clock, at a leap second, and while
 * the machine sleeps.
 *
 * T1  The difference is looked at again when the last look is a millisecond old: a clock that was set is seen by then.
 * T2  Two readings of the monotonic clock around one of the other say between what the difference lies. The one that we have
 *     stays as long as it lies there, so that time does not go back by the width of a look. A new one is the least that it can
 *     be: we are never ahead of the clock, and behind by less than the look took.
 */
import { hrtime } from "node:process";

const LOOK_EVERY_NANOSECONDS = 1_000_000;

export class RealTime {
  /** Nanoseconds since 1970, of the system's clock. */
  readonly #ask: () => bigint;
  readonly #difference = new BigInt64Array(1);
  /** A time, for its halves (see Clocks). */
  readonly #time = new BigInt64Array(1);
  readonly #halves = new Uint32Array(this.#time.buffer);
  /** The monotonic clock at the last look, in halves. */
  #lookedAtLow = 0;
  #lookedAtHigh = -1;

  constructor(ask: () => bigint) {
    this.#ask = ask;
  }

  /** Writes nanoseconds since 1970, u64, to [out, out + 8). */
  write(view: DataView, out: number): void {
    const halves = this.#halves;
    this.#time[0] = hrtime.bigint();
    const since = (halves[1]! - this.#lookedAtHigh) * 0x100000000 + (halves[0]! - this.#lookedAtLow);
    if (since >= LOOK_EVERY_NANOSECONDS) this.#look(); // T1
    this.#time[0] += this.#difference[0]!;
    view.setUint32(out, halves[0]!, true);
    view.setUint32(out + 4, halves[1]!, true);
  }

  #look(): void {
    const before = hrtime.bigint();
    const real = this.#ask();
    const after = hrtime.bigint();
    const least = real - after;
    const difference = this.#difference[0]!;
    if (difference < least || difference > real - before) this.#difference[0] = least; // T2
    this.#time[0] = after;
    this.#lookedAtLow = this.#halves[0]!;
    this.#lookedAtHigh = this.#halves[1]!;
  }
}
