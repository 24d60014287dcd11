/**
 * Appends records to a log.
 *
 * A1  Word 0 of a record is stored last, so that a record is there whole or not at all when the process dies.
 * A2  Each record's checksum goes on from the one before (format.ts).
 * A3  A call that repeats the one before only counts up, in place: first the number, then the number inverted. Whoever finds
 *     the two one apart takes the lower. The mark of that call stays, and names the count that there was before it.
 * A4  There is always room for one short record behind the last one: a log that cannot grow says that it is broken.
 */
import { VermilionError } from "../../../pmem/error.js";
import type { MappedLog } from "../../../pmem/mapped-log.js";
import {
  checksumOf,
  encodeLogHeader,
  Kind,
  LOG_HEADER,
  LOG_HEADER_BYTE_LENGTH,
  type LogHeader,
  markOf,
  mix,
  RECORD_HEAD,
  RECORD_WORDS,
  wordsOf,
} from "./format.js";
import { SeenOutputs } from "./seen-outputs.js";

/** A4, in words. */
const SPARE_WORDS = 8;

/** UTF-8 of a string, by its length. */
export const MOST_BYTES_PER_UNIT = 3;

const REPEATED = { LENGTH: 8 } as const;

/** Where a log ends: the word behind its last record, and that record's checksum. */
export interface LogEnd {
  readonly at: number;
  readonly sum: number;
  /** What the last record counts, if it is a REPEATED one. */
  readonly repetitions: number;
}

export class LogWriter {
  readonly #log: MappedLog;
  #words: Int32Array;
  #bytes: Buffer;
  #view: DataView;
  #at: number;
  #sum: number;
  /** The first word that a record may not reach. */
  #limit: number;
  /** Byte offset of the next part of the payload that is being made. */
  #cursor = 0;
  #broken = false;
  readonly #seen = new SeenOutputs();
  /** The last record that is no REPEATED one, if it was made by `word`; kind 0: it was not. */
  #lastKind = 0;
  #lastCheck = 0;
  #lastValue = 0;
  /** What the last record counts, if it is a REPEATED one. */
  #repetitions: number;

  private constructor(log: MappedLog, { at, sum, repetitions }: LogEnd) {
    this.#log = log;
    this.#at = at;
    this.#sum = sum;
    this.#repetitions = repetitions;
    this.#words = new Int32Array(0);
    this.#bytes = Buffer.alloc(0);
    this.#view = new DataView(new ArrayBuffer(0));
    this.#limit = 0;
    this.#look();
  }

  /** Begins an empty log. */
  static begin(log: MappedLog, header: LogHeader): LogWriter {
    const bytes = encodeLogHeader(header);
    bytes.copy(Buffer.from(log.buffer));
    const sum = bytes.readInt32LE(LOG_HEADER.checksum);
    return new LogWriter(log, { at: LOG_HEADER_BYTE_LENGTH / 4, sum, repetitions: 0 });
  }

  /** Goes on behind the last whole record; what lies behind it, a torn one, becomes zeros. */
  static goOn(log: MappedLog, end: LogEnd): LogWriter {
    new Int32Array(log.buffer, 0, log.byteLength / 4).fill(0, end.at);
    return new LogWriter(log, end);
  }

  get byteLength(): number {
    return this.#at * 4;
  }

  /** Nothing more can be recorded: the disk had no room. */
  get isBroken(): boolean {
    return this.#broken;
  }

  /** A call is being made: should the process die now, it is the one of which nobody knows. */
  mark(kind: number): void {
    this.#words[this.#at] = markOf(kind, this.#repetitions);
  }

  /** It was not made. */
  unmark(): void {
    this.#words[this.#at] = 0;
  }

  /** A record whose payload is one word, which most calls have. */
  word(kind: number, check: number, value: number): void {
    const words = this.#words;
    const at = this.#at;
    if (check === this.#lastCheck && value === this.#lastValue && kind === this.#lastKind) {
      this.#repeat();
      return;
    }
    if (at + RECORD_WORDS + 1 > this.#limit) {
      this.open(4);
      this.u32(value);
      this.commit(kind, check);
      return;
    }
    this.#lastKind = kind;
    this.#lastCheck = check;
    this.#lastValue = value;
    this.#repetitions = 0;
    words[at + 1] = 4;
    words[at + 2] = check;
    words[at + 3] = value;
    const sum = mix(mix(mix(mix(this.#sum, kind), 4), check), value);
    words[at + 4] = sum;
    this.#sum = sum;
    words[at] = kind; // A1
    this.#at = at + RECORD_WORDS + 1;
  }

  #repeat(): void {
    if (this.#repetitions === 0) {
      this.#beginRepeating();
      return;
    }
    const count = ++this.#repetitions;
    this.#words[this.#at - 3] = count; // A3
    this.#words[this.#at - 2] = ~count;
  }

  /** The first repetition: its record counts it from the start, or the mark would be gone before it is counted. */
  #beginRepeating(): void {
    const { LENGTH } = REPEATED;
    if (this.#at + RECORD_WORDS + LENGTH / 4 > this.#limit && !this.#grow(LENGTH)) return;
    const at = this.#at;
    const words = this.#words;
    words[at + 1] = LENGTH;
    words[at + 2] = 0;
    words[at + 3] = 1;
    words[at + 4] = ~1;
    const sum = checksumOf(this.#sum, words, at, Kind.REPEATED, LENGTH);
    words[at + 5] = sum;
    this.#sum = sum;
    words[at] = Kind.REPEATED; // A1
    this.#at = at + RECORD_WORDS + LENGTH / 4;
    this.#repetitions = 1;
  }

  /** Makes room for a payload; its parts follow. */
  open(byteLength: number): void {
    this.#lastKind = 0;
    this.#repetitions = 0;
    if (this.#at + RECORD_WORDS + wordsOf(byteLength) > this.#limit) this.#grow(byteLength);
    this.#cursor = (this.#at + RECORD_HEAD) * 4;
  }

  u32(value: number): void {
    if (this.#broken) return;
    this.#view.setUint32(this.#cursor, value, true);
    this.#cursor += 4;
  }

  u64(value: bigint): void {
    if (this.#broken) return;
    this.#view.setBigUint64(this.#cursor, value, true);
    this.#cursor += 8;
  }

  f64(value: number): void {
    if (this.#broken) return;
    this.#view.setFloat64(this.#cursor, value, true);
    this.#cursor += 8;
  }

  bytes(source: Uint8Array, start: number, byteLength: number): void {
    if (this.#broken) return;
    if (byteLength <= 64) {
      const target = this.#bytes;
      for (let index = 0; index < byteLength; index++) target[this.#cursor + index] = source[start + index]!;
    } else this.#bytes.set(source.subarray(start, start + byteLength), this.#cursor);
    this.#cursor += byteLength;
  }

  /** Whole words, behind others or none. */
  words(source: DataView, start: number, byteLength: number): void {
    if (this.#broken) return;
    const target = this.#words;
    const at = this.#cursor >>> 2;
    for (let index = 0; index < byteLength >>> 2; index++)
      target[at + index] = source.getInt32(start + index * 4, true);
    this.#cursor += byteLength;
  }

  /** A u32 byte length, and the text. `open` has made room for MOST_BYTES_PER_UNIT times its length besides. */
  string(text: string): void {
    const at = this.#cursor;
    this.u32(0);
    this.#characters(text, this.#cursor);
    if (!this.#broken) this.#view.setUint32(at, this.#cursor - at - 4, true);
  }

  /** Encoded where they are to be: no bytes of their own are made for them. */
  #characters(text: string, at: number): void {
    if (!this.#broken) this.#cursor = at + this.#bytes.write(text, at, "utf8");
  }

  /** The word at which a record begins whose outputs are these ranges of `source`; 0: none does, and the next one will. */
  recordOf(source: Uint8Array, ranges: readonly number[], byteLength: number): number {
    return this.#seen.find(this.#bytes, this.#at, source, ranges, byteLength);
  }

  /** Ends a record whose payload was opened. `head`: kind, result and flags. */
  commit(head: number, check: number): void {
    if (this.#broken) return;
    const at = this.#at;
    const payload = this.#cursor - (at + RECORD_HEAD) * 4;
    const words = this.#words;
    words[at + 1] = payload;
    words[at + 2] = check;
    const sum = checksumOf(this.#sum, words, at, head, payload);
    const end = at + RECORD_HEAD + wordsOf(payload);
    words[end] = sum;
    this.#sum = sum;
    words[at] = head; // A1
    this.#at = end + 1;
  }

  /** A record with a text, or nothing, as its payload. */
  text(head: number, check: number, text = ""): void {
    this.open(text.length * MOST_BYTES_PER_UNIT);
    this.#characters(text, this.#cursor);
    this.commit(head, check);
  }

  /** Returns once every record would survive a power cut. */
  flush(): void {
    this.#log.flush();
  }

  #look(): void {
    const { buffer, byteLength } = this.#log;
    this.#words = new Int32Array(buffer, 0, byteLength / 4);
    this.#bytes = Buffer.from(buffer, 0, byteLength);
    this.#view = new DataView(buffer, 0, byteLength);
    this.#limit = byteLength / 4 - SPARE_WORDS; // A4
  }

  /** False: there is no room, and the log has said so. */
  #grow(payload: number): boolean {
    if (this.#broken) return false;
    let room = false;
    try {
      room = this.#log.grow((this.#at + RECORD_WORDS + wordsOf(payload) + SPARE_WORDS) * 4);
    } catch (error) {
      if (!(error instanceof VermilionError)) throw error;
    }
    if (room) {
      this.#look();
      return true;
    }
    this.#cursor = (this.#at + RECORD_HEAD) * 4; // into the spare words
    this.commit(Kind.BROKEN, 0);
    this.#broken = true;
    return false;
  }
}
