/**
 * The words that the two threads of a running process share: the main thread asks for a power failure, the worker
 * with the guest in it obeys.
 *
 * C1  The failure word only ever goes from 0 to 1: a request cannot be taken back, a second one changes nothing.
 * C2  PREPARING is left exactly once, by compare-and-exchange: to RUNNING by the worker before it makes the image
 *     unresumable, or to CANCELLED by the main thread. So a failure before the guest has begun costs no state.
 * C3  The wake descriptor is stored before the worker first looks at the failure word, and read by the main thread
 *     after it has set it: whichever comes second sees the other, so no blocking poll(2) sleeps through a request.
 */
import { writeSync } from "node:fs";

const WORD = { failure: 0, phase: 1, wakeDescriptor: 2, count: 3 } as const;
const PHASE = { preparing: 0, running: 1, cancelled: 2 } as const;
const NO_DESCRIPTOR = -1;

export class ControlBlock {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  private constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  static create(): ControlBlock {
    const block = new ControlBlock(new SharedArrayBuffer(WORD.count * Int32Array.BYTES_PER_ELEMENT));
    Atomics.store(block.#words, WORD.wakeDescriptor, NO_DESCRIPTOR);
    return block;
  }

  /** The block that another thread created. */
  static over(buffer: SharedArrayBuffer): ControlBlock {
    return new ControlBlock(buffer);
  }

  get failurePending(): boolean {
    return Atomics.load(this.#words, WORD.failure) === 1;
  }

  /** Main thread. True: the guest had not begun and never will, in this worker. */
  requestFailure(): boolean {
    Atomics.store(this.#words, WORD.failure, 1);
    if (this.#leavePreparing(PHASE.cancelled)) return true;
    const descriptor = Atomics.load(this.#words, WORD.wakeDescriptor); // C3
    if (descriptor !== NO_DESCRIPTOR) writeSync(descriptor, ONE_EVENT);
    return false;
  }

  /** Worker. False: a failure came first, the guest must not begin. */
  beginRunning(): boolean {
    return this.#leavePreparing(PHASE.running);
  }

  /** Worker: an eventfd that stays open for as long as the block is in use. */
  setWakeDescriptor(descriptor: number): void {
    Atomics.store(this.#words, WORD.wakeDescriptor, descriptor);
  }

  /** Worker, before it closes the descriptor: its number may mean another file afterwards. */
  clearWakeDescriptor(): void {
    Atomics.store(this.#words, WORD.wakeDescriptor, NO_DESCRIPTOR);
  }

  #leavePreparing(to: number): boolean {
    return Atomics.compareExchange(this.#words, WORD.phase, PHASE.preparing, to) === PHASE.preparing; // C2
  }
}

/** What eventfd(2) takes: a native-endian u64 to add; x64 and arm64 are little-endian. */
const ONE_EVENT = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
