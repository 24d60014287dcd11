/** The type section of an output module: the guest's types, then the ones that we need beside them. */
import type { ByteWriter } from "../wasm/byte-writer.js";
import { type FunctionType, functionTypeKey, type ValueType } from "../wasm/value-types.js";

export class TypeTable {
  readonly #guestCount: number;
  readonly #indices = new Map<string, number>();
  readonly #added: FunctionType[] = [];

  constructor(guestTypes: readonly FunctionType[]) {
    this.#guestCount = guestTypes.length;
    guestTypes.forEach((type, index) => {
      const key = functionTypeKey(type);
      if (!this.#indices.has(key)) this.#indices.set(key, index);
    });
  }

  /** Index of a function type, added when it is new. */
  index(params: readonly ValueType[], results: readonly ValueType[]): number {
    const type = { params, results };
    const key = functionTypeKey(type);
    const known = this.#indices.get(key);
    if (known !== undefined) return known;
    const index = this.#guestCount + this.#added.length;
    this.#indices.set(key, index);
    this.#added.push(type);
    return index;
  }

  get addedCount(): number {
    return this.#added.length;
  }

  writeAdded(out: ByteWriter): void {
    for (const { params, results } of this.#added) {
      out.u8(0x60);
      for (const list of [params, results]) {
        out.u32(list.length);
        for (const type of list) out.u8(type);
      }
    }
  }
}
