import { rmSync } from "node:fs";
import { VermilionError } from "../../../pmem/error.js";
import type { LogChores } from "../../../pmem/log-chores.js";
import { type Fill, LogWindow, MappedLog } from "../../../pmem/mapped-log.js";
import type { Durability } from "../persistence-policy.js";
import { bootId, logPath, newLogPath, syncNames } from "./files.js";
import { Kind } from "./format.js";
import type { Beginning, OpenedLog } from "./opened-log.js";
import { LogWriter } from "./writer.js";

/** Carries out chores in another thread, one after the other. */
export interface LogKeeper {
  begin(chores: LogChores): void;
  /** Waits for what was begun. The descriptor of the file that was made; undefined: there is none. */
  end(): number | undefined;
}

export interface RunLogParts {
  readonly fill?: Fill | undefined;
  readonly keeper?: LogKeeper | undefined;
}

/**
 * The log that a run appends to: one file after the other, a new one at each persistence point.
 *
 *     begin -> { next -> leave -> tidy }* -> end          goOn, instead of begin: the file that was replayed is appended to
 *
 * O1  A file says that the log goes on in the next one (leave) only when that one says how it begins (next). So whoever
 *     goes on from the epoch before can follow both.
 * O2  Two windows are used by turns: the file that is left is still mapped while the next one begins. Until that has begun
 *     nothing has changed: should there be no room for it, the calls go on into the file that there is.
 * O3  While the guest runs, a keeper lets go of the file that was left and makes the next one in its window, `log.new`, which gets
 *     its name when it has begun. The window is the keeper's until then. What it could not make is made when it is needed.
 */
export class RunLog {
  readonly #image: string;
  readonly #fill: Fill | undefined;
  readonly #keeper: LogKeeper | undefined;
  /** O3: the spare window is the keeper's. */
  #isKept = false;
  #durability: Durability = "process";
  #file: MappedLog | undefined;
  /** Until it is left. */
  #before: MappedLog | undefined;
  #window: LogWindow | undefined;
  #spareWindow: LogWindow | undefined;
  #number = 0;

  constructor(image: string, { fill, keeper }: RunLogParts = {}) {
    this.#image = image;
    this.#fill = fill;
    this.#keeper = keeper;
  }

  /** Of the file that is written; after the end, of the last one. */
  get number(): number {
    return this.#number;
  }

  /** What every further file is written for. */
  set durability(durability: Durability) {
    this.#durability = durability;
  }

  begin(number: number, epoch: number, beginning: Beginning): LogWriter {
    const writer = this.#create(this.#window ?? new LogWindow(this.#fill), number, epoch, beginning);
    this.#file?.fill();
    return writer;
  }

  /** Behind the last whole record of a log that was followed to its end. */
  goOn({ log, window, reader, number }: OpenedLog["current"]): LogWriter {
    this.#file = log;
    this.#window = window;
    this.#number = number;
    return LogWriter.goOn(log, reader.here);
  }

  /** The file for the calls behind a persistence point. The one before is to be left (O1). */
  next(epoch: number): LogWriter {
    if (this.#before !== undefined) this.tidy();
    const [file, fileWindow] = [this.#file, this.#window];
    const beginning = { callback: false, eintr: false };
    const window = this.#spareWindow ?? new LogWindow(this.#fill);
    const kept = this.#takeKept();
    const writer =
      this.#begun(kept, this.#number + 1, epoch, beginning) ?? this.#create(window, this.#number + 1, epoch, beginning);
    this.#before = file; // O2
    this.#spareWindow = fileWindow;
    return writer;
  }

  leave(writer: LogWriter): void {
    writer.text(Kind.CONTINUED, 0);
    if (this.#durability === "system") writer.flush();
  }

  /** The guest goes on. Not before: whoever changes mappings of the process would have to wait for this. */
  tidy(): void {
    const before = this.#before;
    this.#before = undefined;
    if (before !== undefined && this.#keeper !== undefined) {
      this.#keeper.begin(before.handOver(newLogPath(this.#image))); // O3
      this.#isKept = true;
    } else before?.close();
    this.#file?.fill();
  }

  end(): void {
    this.#before?.close();
    this.#before = undefined;
    const kept = this.#takeKept();
    if (kept !== undefined) this.#discard(kept);
    this.#file?.close();
    this.#file = undefined;
  }

  /** What the keeper has made; the window is ours again. */
  #takeKept(): MappedLog | undefined {
    if (!this.#isKept) return undefined;
    this.#isKept = false;
    const descriptor = this.#keeper?.end();
    if (descriptor === undefined || this.#spareWindow === undefined) return undefined;
    return MappedLog.adopt(newLogPath(this.#image), this.#spareWindow, descriptor);
  }

  #discard(kept: MappedLog): void {
    kept.close();
    rmSync(kept.path, { force: true });
  }

  #create(window: LogWindow, number: number, epoch: number, beginning: Beginning): LogWriter {
    const file = MappedLog.create(logPath(this.#image, number), window);
    try {
      return this.#first(file, window, number, epoch, beginning);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** In a file that was made ahead; undefined: it has lost its name meanwhile, or there is none. */
  #begun(kept: MappedLog | undefined, number: number, epoch: number, beginning: Beginning): LogWriter | undefined {
    if (kept === undefined || this.#spareWindow === undefined) return undefined;
    try {
      kept.rename(logPath(this.#image, number));
    } catch (error) {
      if (!(error instanceof VermilionError)) throw error;
      this.#discard(kept);
      return undefined;
    }
    try {
      return this.#first(kept, this.#spareWindow, number, epoch, beginning);
    } catch (error) {
      kept.close();
      throw error;
    }
  }

  #first(file: MappedLog, window: LogWindow, number: number, epoch: number, beginning: Beginning): LogWriter {
    const durability = this.#durability;
    const writer = LogWriter.begin(file, { number, epoch, boot: bootId(), durability });
    writer.text(Kind.BEGIN, 0, JSON.stringify(beginning));
    if (durability === "system") {
      writer.flush();
      syncNames(this.#image);
    }
    this.#file = file;
    this.#window = window;
    this.#number = number;
    return writer;
  }
}
