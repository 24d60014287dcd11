import { closeSync, ftruncateSync, openSync } from "node:fs";
import { errnoError } from "../../pmem/error.js";
import { libc, MAP, PROT } from "../../pmem/libc.js";

const BYTE_LENGTH = 65_536;
const STOPPED = 0;
const POINTS = 1;
const FAILURES = 2;
/** Of 64 bits, behind the others. */
const FIRST_FINDING = 2;
const EVENT_BITS = 48n;

/** Words of a file that all searchers of an exploration map: whether to stop, how far they are, and who has found something. */
export class Tally {
  readonly path: string;
  readonly #words: Int32Array;
  readonly #longWords: BigInt64Array;

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
    this.#longWords = new BigInt64Array(memory.buffer);
  }

  stop(): void {
    Atomics.store(this.#words, STOPPED, 1);
  }

  get isStopped(): boolean {
    return Atomics.load(this.#words, STOPPED) !== 0;
  }

  /** A point that was looked at, and the failures that were caused for it: none, if it left what another had left. */
  countPoint(failures: number): void {
    Atomics.add(this.#words, POINTS, 1);
    Atomics.add(this.#words, FAILURES, failures);
  }

  get points(): number {
    return Atomics.load(this.#words, POINTS);
  }

  get failures(): number {
    return Atomics.load(this.#words, FAILURES);
  }

  /** A chain of so many failures that breaks the program, the first of them at this event. */
  tellFinding(failures: number, event: number): void {
    const mine = rank(failures, event);
    for (;;) {
      const known = Atomics.load(this.#longWords, FIRST_FINDING);
      if (known !== 0n && known <= mine) return;
      if (Atomics.compareExchange(this.#longWords, FIRST_FINDING, known, mine) === known) return;
    }
  }

  /** Whether a chain is known that comes before all that begin there. */
  isBehindFinding(failures: number, event: number): boolean {
    const known = Atomics.load(this.#longWords, FIRST_FINDING);
    return known !== 0n && known < rank(failures, event);
  }
}

/** The shorter chain comes first, and of two of a length the one that strikes first. Never 0: there is at least one failure. */
function rank(failures: number, event: number): bigint {
  return (BigInt(failures) << EVENT_BITS) | BigInt(event);
}
