/**
 * The recording of a live process's calls: the recorder, and the log that it appends to.
 *
 *     begin -> { stateSaved -> next -> tidy }* -> end          goOn, instead of begin: the log that was replayed is appended to
 *
 * J1  The log until a persistence point says that it goes on only when the recorder appends to the next one. So a call is
 *     recorded in one of the two, and whoever goes on from the epoch before follows both.
 */
import { type Observer, parseState, type SavedDescriptor } from "../../wasi/index.js";
import { movedFiles } from "../kept-files.js";
import type { Durability } from "../persistence-policy.js";
import type { Beginning, OpenedLog } from "./opened-log.js";
import { Recorder, type RecorderParts } from "./recorder.js";
import { RunLog, type RunLogParts } from "./run-log.js";
import type { LogWriter } from "./writer.js";

/** The live process whose calls are recorded. */
export type Recorded = Omit<RecorderParts, "flushBeforeOutput">;

export class Recording {
  readonly #log: RunLog;
  #durability: Durability = "process";
  #recorder: Recorder | undefined;
  /** Descriptors whose files lie elsewhere since they were saved. */
  #moved: readonly SavedDescriptor[] = [];

  constructor(image: string, parts: RunLogParts) {
    this.#log = new RunLog(image, parts);
  }

  /** Undefined: nothing is recorded. */
  get recorder(): Recorder | undefined {
    return this.#recorder;
  }

  /** Whether the calls are appended to a log. */
  get isOn(): boolean {
    return this.#recorder !== undefined && !this.#recorder.writer.isBroken;
  }

  /** Of the log that is being written. */
  get number(): number {
    return this.#log.number;
  }

  /** Bytes in the log so far. */
  get byteLength(): number {
    return this.#recorder?.writer.byteLength ?? 0;
  }

  /** Files in the directory of kept files that the guest has open, as far as the log tells. */
  keptFiles(): readonly string[] {
    return this.#recorder?.keptFiles() ?? [];
  }

  /** What the recording that begins next is for. */
  set durability(durability: Durability) {
    this.#durability = durability;
    this.#log.durability = durability;
  }

  /** In a new log. */
  begin(number: number, epoch: number, beginning: Beginning, recorded: Recorded): Recorder {
    return this.#record(this.#log.begin(number, epoch, beginning), recorded);
  }

  /** Behind what has been replayed. */
  goOn(current: OpenedLog["current"], recorded: Recorded): Recorder {
    return this.#record(this.#log.goOn(current), recorded);
  }

  #record(writer: LogWriter, recorded: Recorded): Recorder {
    this.#recorder = new Recorder(writer, { ...recorded, flushBeforeOutput: this.#durability === "system" });
    return this.#recorder;
  }

  /** What a persistence point is going to consist of; the next log says which files it has moved. */
  stateSaved(state: unknown, observer: Observer): void {
    if (this.#recorder !== undefined) this.#moved = movedFiles(parseState(state), observer);
  }

  /**
   * At a persistence point, before it is made: the calls from here on belong to the next log, whose number the state must
   * name.
   */
  next(epoch: number): number {
    const recorder = this.#recorder;
    if (recorder === undefined) return this.#log.number;
    const before = recorder.writer;
    recorder.writer = this.#log.next(epoch);
    if (this.#moved.length > 0) recorder.descriptors(this.#moved);
    this.#log.leave(before); // J1
    return this.#log.number;
  }

  /** Behind a persistence point: what the log before took is let go. */
  tidy(): void {
    this.#log.tidy();
  }

  /** From here on nothing is recorded. */
  end(): void {
    this.#recorder = undefined;
    this.#log.end();
  }
}
