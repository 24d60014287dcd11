import { type Fill, LogWindow, MappedLog } from "../../../pmem/mapped-log.js";
import type { Durability } from "../protocol.js";
import { bootId, logPath, syncNames } from "./files.js";
import { Kind } from "./format.js";
import type { Beginning, OpenedLog } from "./opened-log.js";
import { LogWriter } from "./writer.js";

/**
 * The log that a run appends to: one file after the other, a new one at each persistence point.
 *
 *     begin -> { next -> leave }* -> end          goOn, instead of begin: the file that was replayed is appended to
 *
 * O1  A file says that the log goes on in the next one (leave) only when that one says how it begins (next). So whoever
 *     goes on from the epoch before can follow both.
 * O2  Two windows are used by turns: the file that is left is still mapped while the next one begins. Until that has begun
 *     nothing has changed: should there be no room for it, the calls go on into the file that there is.
 */
export class RunLog {
  readonly #image: string;
  readonly #fill: Fill | undefined;
  #durability: Durability = "process";
  #file: MappedLog | undefined;
  /** Until it is left. */
  #before: MappedLog | undefined;
  #window: LogWindow | undefined;
  #spareWindow: LogWindow | undefined;
  #number = 0;

  constructor(image: string, fill?: Fill) {
    this.#image = image;
    this.#fill = fill;
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
    return this.#create(this.#window ?? new LogWindow(this.#fill), number, epoch, beginning);
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
    const [file, window] = [this.#file, this.#window];
    const beginning = { callback: false, eintr: false };
    const writer = this.#create(this.#spareWindow ?? new LogWindow(this.#fill), this.#number + 1, epoch, beginning);
    this.#before = file; // O2
    this.#spareWindow = window;
    return writer;
  }

  leave(writer: LogWriter): void {
    writer.text(Kind.CONTINUED, 0);
    if (this.#durability === "system") writer.flush();
    this.#before?.close();
    this.#before = undefined;
  }

  end(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #create(window: LogWindow, number: number, epoch: number, beginning: Beginning): LogWriter {
    const durability = this.#durability;
    const file = MappedLog.create(logPath(this.#image, number), window);
    try {
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
    } catch (error) {
      file.close();
      throw error;
    }
  }
}
