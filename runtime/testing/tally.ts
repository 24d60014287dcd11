import { closeSync, ftruncateSync, openSync } from "node:fs";
import { errnoError } from "../../pmem/error.js";
import { libc, MAP, PROT } from "../../pmem/libc.js";

const BYTE_LENGTH = 65_536;
const STOPPED = 0;
const POINTS = 1;

/** Words of a file that all searchers of an exploration map: whether to stop, and how far they are. */
export class Tally {
  readonly path: string;
  readonly #words: Int32Array;

  /** Of the file there, or of a new one. OUT_OF_MEMORY and its like: it cannot be mapped. */
  constructor(path: string) {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 }); // an owner of addresses: pmem/region.ts R3
    const address = libc().addressOf(new Uint8Array(memory.buffer));
    const descriptor = openSync(path, "a+");
    ftruncateSync(descriptor, BYTE_LENGTH);
    const errno = libc().mapFixed(address, BYTE_LENGTH, PROT.READ | PROT.WRITE, MAP.SHARED, descriptor, 0);
    closeSync(descriptor);
    if (errno !== 0) throw errnoError("map what searchers share", path, errno);
    this.path = path;
    this.#words = new Int32Array(memory.buffer);
  }

  stop(): void {
    Atomics.store(this.#words, STOPPED, 1);
  }

  get isStopped(): boolean {
    return Atomics.load(this.#words, STOPPED) !== 0;
  }

  countPoint(): void {
    Atomics.add(this.#words, POINTS, 1);
  }

  get points(): number {
    return Atomics.load(this.#words, POINTS);
  }
}
