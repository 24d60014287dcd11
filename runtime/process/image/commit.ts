import type { UnsummedPages } from "../../../pmem/page-store.js";

/** What is left of a persistence point when its bytes are written: plain data, for another thread to carry out. */
export interface Commit {
  /** To be computed from the files and written. */
  readonly checksums: readonly UnsummedPages[];
  /** Then these are flushed, and the directory; */
  readonly flush: readonly number[];
  readonly directory: number;
  /** then the slot is written and flushed: the persistence point. */
  readonly header: { readonly descriptor: number; readonly bytes: Uint8Array; readonly position: number };
  /** Epochs that are not kept any more. */
  readonly remove: readonly string[];
  /** However it ends. */
  readonly close: readonly number[];
}

/** Whoever makes commits while the guest runs. */
export interface Committer {
  start(commit: Commit): void;
  /** Returns when what was started is done. @throws what it failed with. */
  wait(): void;
}
