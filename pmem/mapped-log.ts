/**
 * A file that only grows at its end, mapped over memory of JavaScript's: an append is a few plain stores, costs no system
 * call, and survives the death of the process in the page cache.
 *
 *     | file, mapped shared                 | no file: anonymous, not used |
 *     0                        byteLength                     the window's length
 *
 * W1  Stores stay below byteLength, and the disk has given room for all of it: a store into a hole of a file on a full
 *     disk would be a SIGBUS.
 * W2  The window is a WebAssembly.Memory, because its range is the engine's until we let go of it, and can grow in place.
 *     Its buffer is another one after growth: views are made again.
 * W3  What lies behind the last append reads as zeros.
 *
 * The first store to each page is a fault, and with a file on disk a dear one: 2 us for what else costs 0.1. Another thread
 * can take them beforehand, if there is one (`fill`). As long as it does, whoever changes a mapping of the process waits for it.
 */
import { closeSync, constants, fdatasyncSync, fstatSync, ftruncateSync, openSync, renameSync } from "node:fs";
import { attempt, errnoError, invariant, VermilionError } from "./error.js";
import { libc, MAP, PROT } from "./libc.js";
import type { LogChores } from "./log-chores.js";
import { WASM_PAGE_BYTE_LENGTH } from "./memory-backing.js";
import { checkReservation } from "./reservation.js";

const FIRST_PAGES = 16;
/** Of a new log. */
export const FIRST_BYTES = FIRST_PAGES * WASM_PAGE_BYTE_LENGTH;
/** 2 GiB: offsets of words stay small integers of the engine. */
const MOST_PAGES = 32_768;
/** 16 MiB: what was filled and is not used may still be written to the disk. */
const MOST_GROWTH_PAGES = 256;

/** Asks for pages of this process to be touched, soon and elsewhere; whether and when makes no difference but in time. */
export type Fill = (address: number, byteLength: number) => void;

/** The address range in which log files are mapped, one after another. */
export class LogWindow {
  /** Shared only so that the engine does not take its growth for a reason to collect garbage. */
  readonly memory = new WebAssembly.Memory({ initial: FIRST_PAGES, maximum: MOST_PAGES, shared: true });
  readonly address: number;
  readonly fill: Fill;

  /** REGION_RESERVATION, FFI_MISSING. */
  constructor(fill: Fill = () => undefined) {
    this.fill = fill;
    this.address = libc().addressOf(new Uint8Array(this.memory.buffer));
    checkReservation(
      "the log of host calls",
      this.address,
      FIRST_PAGES * WASM_PAGE_BYTE_LENGTH,
      MOST_PAGES * WASM_PAGE_BYTE_LENGTH,
    );
  }

  get byteLength(): number {
    return this.memory.buffer.byteLength;
  }

  /** Gives the range from `start` on back to nobody's. */
  release(start: number): void {
    if (start >= this.byteLength) return;
    const flags = MAP.PRIVATE | MAP.ANONYMOUS | MAP.NORESERVE;
    const access = PROT.READ | PROT.WRITE;
    const errno = libc().mapFixed(this.address + start, this.byteLength - start, access, flags, -1, 0);
    if (errno !== 0) throw errnoError("unmap", "the log of host calls", errno);
  }
}

export class MappedLog {
  #path: string;
  readonly #window: LogWindow;
  readonly #descriptor: number;
  #byteLength = 0;
  /** Up to where pages have been asked to be filled. */
  #filled = 0;
  #closed = false;

  private constructor(path: string, window: LogWindow, descriptor: number) {
    this.#path = path;
    this.#window = window;
    this.#descriptor = descriptor;
  }

  /** A new, empty file in place of one that may be there. DISK_FULL, PERMISSION_DENIED, MMAP_UNSUPPORTED and others. */
  static create(path: string, window: LogWindow): MappedLog {
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    const flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
    return MappedLog.#opened(path, window, flags, (log) => {
      attempt("empty", path, () => ftruncateSync(log.#descriptor, 0));
      log.#map(FIRST_BYTES);
    });
  }

  /** One that is there. NOT_FOUND, NOT_A_FILE, SYMLINK_REFUSED, LOG_LENGTH and others. */
  static open(path: string, window: LogWindow): MappedLog {
    const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
    return MappedLog.#opened(path, window, O_RDWR | O_NOFOLLOW | O_NONBLOCK, (log) => {
      const { size } = fstatSync(log.#descriptor);
      if (size > MOST_PAGES * WASM_PAGE_BYTE_LENGTH) {
        throw new VermilionError("LOG_LENGTH", `${path}: it has ${size} bytes, more than a log can have`);
      }
      log.#map(Math.max(FIRST_PAGES, Math.ceil(size / WASM_PAGE_BYTE_LENGTH)) * WASM_PAGE_BYTE_LENGTH);
    });
  }

  /** One that is mapped in the window already, as chores have made it. */
  static adopt(path: string, window: LogWindow, descriptor: number): MappedLog {
    const log = new MappedLog(path, window, descriptor);
    log.#byteLength = FIRST_BYTES;
    log.#filled = FIRST_BYTES;
    return log;
  }

  static #opened(path: string, window: LogWindow, flags: number, prepare: (log: MappedLog) => void): MappedLog {
    const descriptor = attempt("open the log", path, () => openSync(path, flags, 0o600));
    const log = new MappedLog(path, window, descriptor);
    try {
      const stat = fstatSync(descriptor);
      if (!stat.isFile() || stat.nlink > 1) {
        throw new VermilionError("NOT_A_FILE", `${path}: a log is a plain file with one name; remove what is there`);
      }
      prepare(log);
      return log;
    } catch (error) {
      log.close();
      throw error;
    }
  }

  get path(): string {
    return this.#path;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Valid until `grow` returns. */
  get buffer(): ArrayBufferLike {
    return this.#window.memory.buffer;
  }

  /** Makes the file at least so long. False: no room on the disk, or the longest that a log can be; nothing has changed. */
  grow(byteLength: number): boolean {
    invariant(!this.#closed, `${this.path} is closed`);
    const pages = this.#byteLength / WASM_PAGE_BYTE_LENGTH;
    const wanted = Math.max(Math.ceil(byteLength / WASM_PAGE_BYTE_LENGTH), pages + Math.min(pages, MOST_GROWTH_PAGES));
    if (wanted > MOST_PAGES) return false;
    try {
      this.#map(wanted * WASM_PAGE_BYTE_LENGTH);
      this.fill();
      return true;
    } catch (error) {
      if (error instanceof VermilionError && error.code === "DISK_FULL") return false;
      throw error;
    }
  }

  /** Has the pages touched that are there; what grow() adds is touched at once. */
  fill(): void {
    const { address, fill } = this.#window;
    if (this.#filled < this.#byteLength) fill(address + this.#filled, this.#byteLength - this.#filled);
    this.#filled = this.#byteLength;
  }

  /** Returns once every byte would survive a power cut. */
  flush(): void {
    attempt("flush the log", this.path, () => fdatasyncSync(this.#descriptor));
  }

  /** Gives it another name. */
  rename(path: string): void {
    attempt("name the log", path, () => renameSync(this.#path, path));
    this.#path = path;
  }

  /** Instead of close(): somebody else lets go of it, and puts the next one in its place. */
  handOver(next: string): LogChores {
    invariant(!this.#closed, `${this.path} is closed`);
    this.#closed = true;
    const { memory, address } = this.#window;
    return { memory, address, byteLength: this.#byteLength, descriptor: this.#descriptor, path: next };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#window.release(0);
    closeSync(this.#descriptor);
  }

  #map(byteLength: number): void {
    const system = libc();
    const errno = system.allocate(this.#descriptor, byteLength); // W1
    if (errno !== 0) throw errnoError(`grow the log to ${byteLength} bytes`, this.path, errno);
    const window = this.#window;
    if (window.byteLength < byteLength) window.memory.grow((byteLength - window.byteLength) / WASM_PAGE_BYTE_LENGTH); // W2
    const mapped = system.mapFixed(
      window.address + this.#byteLength,
      byteLength - this.#byteLength,
      PROT.READ | PROT.WRITE,
      MAP.SHARED,
      this.#descriptor,
      this.#byteLength,
    );
    if (mapped !== 0) throw errnoError("map the log", this.path, mapped);
    if (this.#byteLength === 0) window.release(byteLength);
    this.#byteLength = byteLength;
  }
}
