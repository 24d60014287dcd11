/**
 * Calls that a power failure interrupted: they returned RESTART and will be made again, with the same arguments, after the
 * resume. What had already happened is remembered here and in the saved state: when a wait began (on the guest's monotonic
 * clock, which stands still meanwhile), and how many bytes a blocking write had moved.
 *
 * There can be several: a SIGPWR handler may itself be interrupted in a call before the first one is made again.
 */
export interface InterruptedCall {
  readonly name: string;
  /** Addresses and numbers among its arguments; with the name they say which call it was. */
  readonly key: readonly number[];
  /** Guest monotonic nanoseconds. */
  readonly startedAt: bigint;
  readonly bytesMoved: number;
}

/** More than any nesting of handlers; older ones are then forgotten, which lengthens a sleep and loses nothing. */
export const INTERRUPTED_MAXIMUM = 64;

export class InterruptedCalls {
  #calls: InterruptedCall[];

  constructor(calls: readonly InterruptedCall[]) {
    this.#calls = [...calls];
  }

  get isEmpty(): boolean {
    return this.#calls.length === 0;
  }

  add(call: InterruptedCall): void {
    if (this.#calls.length === INTERRUPTED_MAXIMUM) this.#calls.shift();
    this.#calls.push(call);
  }

  /** The interrupted call that this one goes on with, if any; it is then no longer remembered. */
  take(name: string, a: number, b: number, c: number): InterruptedCall | undefined {
    if (this.#calls.length === 0) return undefined;
    const index = this.#calls.findLastIndex(
      ({ name: other, key }) => other === name && key[0] === a && key[1] === b && key[2] === c,
    );
    return index < 0 ? undefined : this.#calls.splice(index, 1)[0];
  }

  all(): readonly InterruptedCall[] {
    return this.#calls;
  }
}
