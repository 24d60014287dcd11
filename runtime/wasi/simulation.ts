/**
 * Time and randomness that are not the machine's: for tests in which two runs must see the same. Time passes when the guest
 * asks for it or waits, and at no other moment.
 */
export interface Simulation {
  /** Nanoseconds since 1970, on every clock; the clocks that begin with the process are offset from it as ever. */
  now(): bigint;
  /** The guest has asked for the time. */
  tick(): void;
  /** The guest has waited. */
  pass(nanoseconds: bigint): void;
  fillRandom(bytes: Uint8Array): void;
}
