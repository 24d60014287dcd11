/** The guest's linear memories: each is attached to what backs it in the image, and grows there first. */
import { invariant, VermilionError } from "../../pmem/error.js";
import type { MemoryBacking } from "../../pmem/memory-backing.js";
import { mapSharedWord } from "../../pmem/shared-word.js";
import { MOST_MEMORY_PAGES, type Module, WASM_PAGE_BYTE_LENGTH } from "../wasm/module.js";
import type { ControlBlock } from "./control-block.js";
import { misfit } from "./guest-preparation.js";
import type { Image } from "./image/image.js";
import type { Program } from "./program.js";

/** The engine has no guard region behind memories, so that there is no room for the flag. */
export const NO_FLAG = new Error("no room for the flag");

interface Place {
  readonly image: Image;
  /** The image holds them already. */
  readonly saved: boolean;
  readonly control: ControlBlock;
  /** Bytes of all memories; null: as much as the module allows. */
  readonly limit: number | null;
  /** Host calls reach the first memory there. */
  readonly bind: (memory: WebAssembly.Memory, address: number) => void;
  /** What a log says of a growth comes before `grow`. */
  readonly ask: (index: number, byteLength: number, grow: () => boolean) => boolean;
  readonly notice: (message: string) => void;
}

export class GuestMemories {
  readonly #place: Place;
  #isRefusalTold = false;

  constructor(place: Place) {
    this.#place = place;
  }

  /** NO_FLAG, DISK_FULL, IMAGE_DAMAGED. */
  attach(index: number, memory: WebAssembly.Memory, { module, flag }: Program): void {
    if (index === 0 && flag !== undefined) {
      const descriptor = mapSharedWord(memory, flag.distance);
      if (descriptor === undefined) throw NO_FLAG;
      this.#place.control.setFlagDescriptor(descriptor); // stays open, as the wake descriptor does
    }
    const backing = !this.#place.saved ? this.#create(memory) : this.#saved(index, memory);
    const maximum = module.memories[index]?.maximum ?? MOST_MEMORY_PAGES;
    backing.attach(memory, Math.min(maximum, MOST_MEMORY_PAGES) * WASM_PAGE_BYTE_LENGTH);
    if (index === 0) this.#place.bind(memory, backing.address);
  }

  #create(memory: WebAssembly.Memory): MemoryBacking {
    const { byteLength } = memory.buffer;
    const backing = this.#place.image.createMemory();
    if (!backing.grow(byteLength)) throw refusalOf(backing);
    return backing;
  }

  #saved(index: number, memory: WebAssembly.Memory): MemoryBacking {
    const backing = this.#place.image.memories[index];
    const missing = (backing?.byteLength ?? 0) - memory.buffer.byteLength;
    if (backing === undefined || missing < 0)
      throw misfit(this.#place.image.path, `memory ${index} is shorter than the module's`);
    try {
      if (missing > 0) memory.grow(missing / WASM_PAGE_BYTE_LENGTH);
    } catch (cause) {
      throw misfit(this.#place.image.path, `memory ${index} is longer than the module allows`, cause);
    }
    return backing;
  }

  /** For memory.grow: false says that there is no room. */
  grow(index: number, byteLength: number): boolean {
    const backing = this.#place.image.memories[index];
    invariant(backing !== undefined, `memory ${index} has a backing`);
    const ask = () => {
      if (this.#exceedsLimit(byteLength - backing.byteLength)) return false;
      const grown = backing.grow(byteLength);
      if (!grown) this.#tellRefusal(backing);
      return grown;
    };
    return this.#place.ask(index, byteLength, ask);
  }

  /** To the program it is memory that ran out, and it may not say so; whoever runs it could have given it a larger disk. */
  #tellRefusal(backing: MemoryBacking): void {
    if (this.#isRefusalTold) return;
    this.#isRefusalTold = true;
    this.#place.notice(`the program was refused more memory: ${refusalOf(backing).message}`);
  }

  #exceedsLimit(moreBytes: number): boolean {
    const limit = this.#place.limit;
    if (limit === null) return false;
    return this.#place.image.memories.reduce((sum, { byteLength }) => sum + byteLength, moreBytes) > limit;
  }

  /** IMAGE_DAMAGED. */
  check({ memories }: Module): void {
    const expected = memories.length;
    if (this.#place.image.memories.length !== expected) {
      throw misfit(
        this.#place.image.path,
        `it has ${this.#place.image.memories.length} memories and the module ${expected}`,
      );
    }
  }
}

/** Why it did not grow. */
function refusalOf({ path, growthRefusal }: MemoryBacking): VermilionError {
  return growthRefusal ?? new VermilionError("DISK_FULL", `${path}: no room`);
}
