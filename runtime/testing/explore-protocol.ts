/** What the main thread and the threads of an exploration say to each other. */
import type { SerializedError } from "../process/protocol.js";
import type { Reference, Repetition, WalkOrder, WalkReport } from "./explorer.js";
import type { Aspect } from "./observation.js";
import type { RestartExploration, RestartExploreOptions } from "./restarts-here.js";
import type { Subject } from "./subject.js";
import type { Trace } from "./trace.js";

export interface ExploreWorkerData {
  readonly subject: Subject;
  readonly aspects: readonly Aspect[];
  readonly checkerExport: string | undefined;
  readonly keepsContents: boolean;
  readonly checker: Subject | undefined;
  /** For files of runs; whoever started the thread removes it. */
  readonly folder: string;
  readonly cacheDirectory: string | undefined;
  /** Of all threads together, after which they stop. */
  readonly mostFailures: number | undefined;
  readonly tally: SharedArrayBuffer;
}

/** One thread's share of the points. */
export interface SearchPart {
  readonly index: number;
  readonly count: number;
}

export type ExploreOrder =
  | { readonly kind: "refer" }
  /** To every thread but the one that found it. */
  | { readonly kind: "reference"; readonly reference: Reference }
  | { readonly kind: "walk"; readonly order: WalkOrder }
  | { readonly kind: "repeat"; readonly trace: Trace }
  /** Of a program that begins again, whatever the thread was made for. */
  | { readonly kind: "restarts"; readonly options: RestartExploreOptions; readonly part: SearchPart };

/** Each answers one order. */
export type ExploreReport =
  | { readonly kind: "reference"; readonly reference: Reference }
  | { readonly kind: "walked"; readonly report: WalkReport }
  | { readonly kind: "repeated"; readonly repetition: Repetition | undefined }
  | { readonly kind: "restarted"; readonly exploration: RestartExploration }
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly error: SerializedError };

/** Words that all threads share: whether to stop, and how far they are. */
export class Tally {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(8)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  stop(): void {
    Atomics.store(this.#words, 0, 1);
  }

  get isStopped(): boolean {
    return Atomics.load(this.#words, 0) !== 0;
  }

  countPoint(): void {
    Atomics.add(this.#words, 1, 1);
  }

  get points(): number {
    return Atomics.load(this.#words, 1);
  }
}
