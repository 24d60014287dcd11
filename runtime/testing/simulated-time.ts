import type { Simulation } from "../wasi/index.js";

/** When simulated time begins: 2000-01-01T00:00:00Z. */
const BEGINNING = 946_684_800_000_000_000n;
/** What one look at the clock takes, so that a guest that waits by looking gets there. */
const LOOK_NANOSECONDS = 1_000n;

export interface SimulatedMoment {
  readonly nanoseconds: bigint;
  readonly random: number;
}

/** Time and randomness that are part of a run's state: two runs that do the same see the same. */
export class SimulatedTime implements Simulation {
  #now = BEGINNING;
  /** State of the generator: 32 bits, of which every value has a successor (splitmix32). */
  #random: number;

  constructor(seed: number) {
    this.#random = seed | 0;
  }

  now(): bigint {
    return this.#now;
  }

  tick(): void {
    this.#now += LOOK_NANOSECONDS;
  }

  pass(nanoseconds: bigint): void {
    this.#now += nanoseconds;
  }

  fillRandom(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      this.#random = (this.#random + 0x9e3779b9) | 0;
      let mixed = this.#random ^ (this.#random >>> 16);
      mixed = Math.imul(mixed, 0x21f0aaad);
      mixed ^= mixed >>> 15;
      bytes[i] = Math.imul(mixed, 0x735a2d97) >>> 24;
    }
  }

  get moment(): SimulatedMoment {
    return { nanoseconds: this.#now, random: this.#random };
  }

  set moment({ nanoseconds, random }: SimulatedMoment) {
    this.#now = nanoseconds;
    this.#random = random;
  }
}
