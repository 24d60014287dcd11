/**
 * Where the code of an instrumented module comes from, for the engine's stack traces: each instruction of the guest, with
 * all that was put around it, counts as that instruction.
 */
export class PositionMap {
  /** Ascending: where something begins, as the writer counts. */
  readonly #written: number[] = [];
  /** What it is: a byte offset in the original module. */
  readonly #origins: number[] = [];
  /** Bodies that were copied: what they begin with. */
  readonly #copied = new Set<number>();
  /** What the writer counts where the module begins. */
  moduleBegin = 0;

  /** From here on stands what was made of the instruction at `origin`. */
  note(written: number, origin: number): void {
    this.#written.push(written);
    this.#origins.push(origin);
  }

  /** From here on stands what is at `origin`, byte for byte. */
  noteCopy(written: number, origin: number): void {
    this.#copied.add(this.#written.length);
    this.note(written, origin);
  }

  /** A byte offset in the original module, for one in the instrumented; undefined: it is none of the guest's code. */
  originOf(offset: number): number | undefined {
    const position = offset + this.moduleBegin;
    let [low, high] = [0, this.#written.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#written[middle] as number) <= position) low = middle + 1;
      else high = middle;
    }
    const index = low - 1;
    const origin = this.#origins[index];
    if (origin === undefined || !this.#copied.has(index)) return origin;
    return origin + position - (this.#written[index] as number);
  }
}
