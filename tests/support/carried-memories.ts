/** A machine's linear memories, carried over to the next one as copies: what an image would hold of them. */
export class CarriedMemories {
  #live: WebAssembly.Memory[] = [];
  #saved: Uint8Array[] = [];

  /** For a machine's host: the memory begins as the one before it ended. */
  readonly attach = (index: number, memory: WebAssembly.Memory): void => {
    this.#live[index] = memory;
    const saved = this.#saved[index];
    if (saved === undefined) return;
    memory.grow((saved.length - memory.buffer.byteLength) / 65536);
    new Uint8Array(memory.buffer).set(saved);
  };

  /** The machine has stopped; the next one may attach its own. */
  save(): void {
    this.#saved = this.#live.map((memory) => new Uint8Array(memory.buffer).slice());
    this.#live = [];
  }
}
