/**
 * The words that the two threads of a running process share: the main thread asks for a power failure or a
 * persistence point, the worker with the guest in it obeys.
 *
 * C1  The failure word only ever grows: none, a power failure, or one that nobody wants to be saved (the guest is killed).
 *     A request cannot be taken back, a second one changes nothing.
 * C2  PREPARING is left by compare-and-exchange: to RUNNING by the worker before it makes the image unresumable, or to
 *     CANCELLED by the main thread, for good. So a failure before the guest has begun costs no state. The worker goes
 *     back to PREPARING when an instance is saved and waits for another call.
 * C3  A point's request only ever counts up, so that the worker sees which ones a point has answered.
 * C4  The wake and the flag descriptor are stored before the worker first looks at the requests, and read by the main
 *     thread after it has made one: whichever comes second sees the other, so no blocking poll(2) sleeps through a
 *     request and no guest computes past it.
 * C5  The flag is raised after a request, and lowered before the requests are looked at.
 * C6  While INTERRUPTIBLE is set, the worker calls nothing through the FFI, and behind it looks whether it was cancelled or
 *     killed before it does. So its thread may be ended when the word is seen set after such a request.
 * C7  A commit is begun by the worker and ended by the main thread; while there is one, the worker begins no other. Why it
 *     failed is written before the word says so.
 * C8  The same goes for the chores of a log, whose end is the descriptor of a file, or that there is none.
 * C9  The main thread changes how the engine compiles only for a worker that waits, by a request whose number it has
 *     exchanged. A worker that waits no longer takes the request back, or knows that the engine is changed.
 */
import { closeSync, writeSync } from "node:fs";
import { clearSharedWord } from "../../pmem/shared-word.js";

const FAILURE = { none: 0, power: 1, kill: 2 } as const;
const WORD = {
  failure: 0,
  phase: 1,
  wakeDescriptor: 2,
  points: 3,
  flagDescriptor: 4,
  interruptible: 5,
  commit: 6,
  chores: 7,
  optimizing: 8,
  count: 9,
} as const;
/** Or a descriptor, which is not negative. */
const CHORES = { inFlight: -2, none: -1 } as const;
/** Or the number of a request, which is positive. */
const OPTIMIZING = { none: 0, starting: -1, underWay: -2 } as const;
const COMMIT = { none: 0, inFlight: 1, failed: 2 } as const;
/** For the text of a failed commit's error, zeros behind it. */
const TEXT_BYTE_LENGTH = 2048;
const WORDS_BYTE_LENGTH = WORD.count * Int32Array.BYTES_PER_ELEMENT;
const PHASE = { preparing: 0, running: 1, cancelled: 2 } as const;
const NO_DESCRIPTOR = -1;

export class ControlBlock {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #text: Uint8Array;

  private constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, WORD.count);
    this.#text = new Uint8Array(buffer, WORDS_BYTE_LENGTH);
  }

  static create(): ControlBlock {
    const block = new ControlBlock(new SharedArrayBuffer(WORDS_BYTE_LENGTH + TEXT_BYTE_LENGTH));
    Atomics.store(block.#words, WORD.wakeDescriptor, NO_DESCRIPTOR);
    Atomics.store(block.#words, WORD.flagDescriptor, NO_DESCRIPTOR);
    Atomics.store(block.#words, WORD.chores, CHORES.none);
    return block;
  }

  /** The block that another thread created. */
  static over(buffer: SharedArrayBuffer): ControlBlock {
    return new ControlBlock(buffer);
  }

  get failurePending(): boolean {
    return Atomics.load(this.#words, WORD.failure) !== FAILURE.none;
  }

  /** Whether the guest is to stop without being saved. */
  get killed(): boolean {
    return Atomics.load(this.#words, WORD.failure) >= FAILURE.kill;
  }

  /** Whether a failure came before the guest began. */
  get cancelled(): boolean {
    return Atomics.load(this.#words, WORD.phase) === PHASE.cancelled;
  }

  /** Worker: whether it must let go of everything, and its thread may be about to be ended (C6). */
  get over(): boolean {
    return this.cancelled || this.killed;
  }

  /** Main thread: whether the worker's thread may be ended as it stands (C6). */
  get interruptible(): boolean {
    return Atomics.load(this.#words, WORD.interruptible) !== 0;
  }

  /** Worker: what follows may take long, and calls nothing through the FFI. */
  enterInterruptible(): void {
    Atomics.store(this.#words, WORD.interruptible, 1);
  }

  /** Worker. True: it was cancelled or killed meanwhile, and must let go of everything. */
  leaveInterruptible(): boolean {
    Atomics.store(this.#words, WORD.interruptible, 0);
    return this.over;
  }

  /** Main thread. True: the guest had not begun and never will, in this worker. */
  requestFailure(): boolean {
    return this.#request(FAILURE.power);
  }

  /** Main thread. The same, but the guest is not saved. */
  requestKill(): boolean {
    return this.#request(FAILURE.kill);
  }

  #request(failure: number): boolean {
    Atomics.or(this.#words, WORD.failure, failure);
    this.wakeWaiting();
    if (this.#leavePreparing(PHASE.cancelled)) return true;
    this.#wake();
    return false;
  }

  /** Main thread: asks for a persistence point. The result tells this request from others. */
  requestPoint(): number {
    const ticket = Atomics.add(this.#words, WORD.points, 1) + 1;
    this.#wake();
    return ticket;
  }

  /** The last request for a point; 0: none yet. */
  get pointsRequested(): number {
    return Atomics.load(this.#words, WORD.points);
  }

  /**
   * Worker: whether it sees neither a failure nor a request after that one. It looks without a fence, in a tenth of the time:
   * what it does not see yet, it sees at one of the next looks.
   */
  seesNothing(lastPoint: number): boolean {
    return this.#words[WORD.failure] === FAILURE.none && this.#words[WORD.points] === lastPoint;
  }

  /** Main thread: the guest's next poll asks the host. */
  raiseFlag(): void {
    const descriptor = Atomics.load(this.#words, WORD.flagDescriptor); // C4
    if (descriptor !== NO_DESCRIPTOR) writeSync(descriptor, ONE, 0, ONE.length, 0);
  }

  /** A guest that computes, or waits in poll(2), looks at the words again. */
  #wake(): void {
    this.raiseFlag(); // C5
    const descriptor = Atomics.load(this.#words, WORD.wakeDescriptor); // C4
    if (descriptor !== NO_DESCRIPTOR) writeSync(descriptor, ONE_EVENT);
  }

  /** Ends `waitForFailure`. */
  wakeWaiting(): void {
    Atomics.notify(this.#words, WORD.failure);
  }

  /** Worker. Returns when there is a failure, somebody wakes it, or the time is over. */
  waitForFailure(milliseconds: number): void {
    Atomics.wait(this.#words, WORD.failure, FAILURE.none, milliseconds);
  }

  /** Worker: C9. It waits until it has the answer, or has called `cancelOptimizing`. */
  requestOptimizing(number: number): void {
    Atomics.store(this.#words, WORD.optimizing, number);
  }

  /** Worker. False: the main thread has changed how the engine compiles. */
  cancelOptimizing(number: number): boolean {
    if (Atomics.compareExchange(this.#words, WORD.optimizing, number, OPTIMIZING.none) === number) return true;
    while (Atomics.load(this.#words, WORD.optimizing) === OPTIMIZING.starting) {
      Atomics.wait(this.#words, WORD.optimizing, OPTIMIZING.starting);
    }
    return false;
  }

  /** Main thread. False: nobody waits for that any more; `change` was not called. */
  beginOptimizing(number: number, change: () => void): boolean {
    const { starting, underWay } = OPTIMIZING;
    if (Atomics.compareExchange(this.#words, WORD.optimizing, number, starting) !== number) return false;
    change();
    Atomics.store(this.#words, WORD.optimizing, underWay);
    Atomics.notify(this.#words, WORD.optimizing);
    return true;
  }

  /** Main thread, when the engine compiles as ever again. Another request may have come from a worker that waited no longer. */
  endOptimizing(): void {
    Atomics.compareExchange(this.#words, WORD.optimizing, OPTIMIZING.underWay, OPTIMIZING.none);
  }

  /** Worker. False: a failure came first, the guest must not begin. */
  beginRunning(): boolean {
    return this.#leavePreparing(PHASE.running);
  }

  /** Worker: the guest is saved, and may be run again. */
  endRunning(): void {
    Atomics.store(this.#words, WORD.phase, PHASE.preparing);
  }

  /** Worker. */
  beginCommit(): void {
    Atomics.store(this.#words, WORD.commit, COMMIT.inFlight);
  }

  get commitInFlight(): boolean {
    return Atomics.load(this.#words, WORD.commit) === COMMIT.inFlight;
  }

  /** Worker. Returns when there is no commit in flight, with the text of the error that the last one ended in. */
  awaitCommit(): string | undefined {
    while (this.commitInFlight) Atomics.wait(this.#words, WORD.commit, COMMIT.inFlight);
    if (Atomics.load(this.#words, WORD.commit) !== COMMIT.failed) return undefined;
    return Buffer.from(this.#text).toString("utf8").replace(/\0+$/, "");
  }

  /** Main thread. `failure`: the text of an error. */
  endCommit(failure?: string): void {
    this.#text.fill(0);
    if (failure !== undefined) this.#text.set(Buffer.from(failure).subarray(0, TEXT_BYTE_LENGTH));
    Atomics.store(this.#words, WORD.commit, failure === undefined ? COMMIT.none : COMMIT.failed);
    Atomics.notify(this.#words, WORD.commit);
  }

  /** Worker: C8. */
  beginChores(): void {
    Atomics.store(this.#words, WORD.chores, CHORES.inFlight);
  }

  /** Worker. Returns when no chores are being done, with the descriptor that the last have left. */
  awaitChores(): number | undefined {
    while (Atomics.load(this.#words, WORD.chores) === CHORES.inFlight) {
      Atomics.wait(this.#words, WORD.chores, CHORES.inFlight);
    }
    const descriptor = Atomics.exchange(this.#words, WORD.chores, CHORES.none);
    return descriptor < 0 ? undefined : descriptor;
  }

  /** Main thread. */
  endChores(descriptor: number | undefined): void {
    Atomics.store(this.#words, WORD.chores, descriptor ?? CHORES.none);
    Atomics.notify(this.#words, WORD.chores);
  }

  /** Worker: an eventfd; the main thread closes it, which may be about to write to it at any time. */
  setWakeDescriptor(descriptor: number): void {
    Atomics.store(this.#words, WORD.wakeDescriptor, descriptor);
  }

  /** Worker: the file that polls look at; closed as the wake descriptor is. */
  setFlagDescriptor(descriptor: number): void {
    Atomics.store(this.#words, WORD.flagDescriptor, descriptor);
  }

  /** Worker. */
  lowerFlag(): void {
    const descriptor = Atomics.load(this.#words, WORD.flagDescriptor);
    if (descriptor !== NO_DESCRIPTOR) clearSharedWord(descriptor);
  }

  /** Main thread, when the worker has ended; the numbers may mean other files from now on. */
  closeDescriptors(): void {
    for (const word of [WORD.wakeDescriptor, WORD.flagDescriptor]) {
      const descriptor = Atomics.exchange(this.#words, word, NO_DESCRIPTOR);
      if (descriptor !== NO_DESCRIPTOR) closeSync(descriptor);
    }
  }

  #leavePreparing(to: number): boolean {
    return Atomics.compareExchange(this.#words, WORD.phase, PHASE.preparing, to) === PHASE.preparing; // C2
  }
}

/** What the flag's polls look for: not zero. */
const ONE = Uint8Array.of(1, 0, 0, 0);
/** What eventfd(2) takes: a native-endian u64 to add; x64 and arm64 are little-endian. */
const ONE_EVENT = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
