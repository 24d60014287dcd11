/**
 * The operand stack of a function while it is analysed: for each operand its type and the instruction it comes from.
 *
 * Operands that lie on the stack below a site's own arguments are out of a handler's reach, so each is copied to a
 * temporary where it is produced (`local.tee`; a set and a get for producers of several values). Temporaries are shared
 * by stack height and type.
 */
import type { ValueType } from "../wasm/value-types.js";
import type { FunctionAnalysis } from "./function-analysis.js";

/** In place of a type: an instruction pushes nothing. */
export const NOTHING = 0;

const INITIAL_CAPACITY = 1 << 12;

export class OperandStack {
  /** Lowering it pops. */
  height = 0;
  /** The code here is never reached, so nothing is known of the stack (A2). */
  unreachable = false;
  readonly #analysis: FunctionAnalysis;
  #types = new Uint8Array(INITIAL_CAPACITY);
  #producers = new Int32Array(INITIAL_CAPACITY);
  #needed = new Uint8Array(INITIAL_CAPACITY);

  constructor(analysis: FunctionAnalysis) {
    this.#analysis = analysis;
  }

  clear(): void {
    this.height = 0;
    this.unreachable = false;
  }

  typeAt(height: number): ValueType {
    return this.#types[height] as ValueType;
  }

  /** What an instruction does: pops, then pushes a type or NOTHING. In unreachable code it moves nothing. */
  apply(pops: number, pushes: number, producer: number): void {
    if (this.unreachable) return;
    this.height -= pops;
    if (pushes !== NOTHING) this.push(pushes, producer);
  }

  push(type: number, producer: number): void {
    if (this.height === this.#types.length) this.#grow();
    this.#types[this.height] = type;
    this.#producers[this.height] = producer;
    this.#needed[this.height++] = 0;
  }

  /** Pushes what an instruction yields. `always`: even a single value is handled as one of several. */
  pushAll(types: readonly ValueType[], producer: number, always: boolean): void {
    if (types.length === 0) return;
    if (types.length > 1 || always) {
      this.#analysis.multiProducers.set(producer, { height: this.height, types, needed: false });
    }
    for (const type of types) this.push(type, producer);
  }

  /** Asks for copies of all operands; returns their temporaries. A3 lets it stop at the first that has one. */
  keepAll(): number[] {
    const analysis = this.#analysis;
    for (let height = this.height - 1; height >= 0 && this.#needed[height] === 0; height--) {
      this.#needed[height] = 1;
      const producer = this.#producers[height] as number;
      const multi = analysis.multiProducers.get(producer);
      if (multi === undefined) {
        analysis.copies[producer] = analysis.temporary(height, this.typeAt(height)) + 1;
      } else {
        multi.needed = true;
        multi.types.forEach((type, i) => {
          analysis.temporary(multi.height + i, type);
        });
      }
    }
    return Array.from({ length: this.height }, (_, height) => analysis.temporary(height, this.typeAt(height)));
  }

  #grow(): void {
    const length = this.#types.length * 2;
    const types = new Uint8Array(length);
    types.set(this.#types);
    this.#types = types;
    const producers = new Int32Array(length);
    producers.set(this.#producers);
    this.#producers = producers;
    const needed = new Uint8Array(length);
    needed.set(this.#needed);
    this.#needed = needed;
  }
}
