/**
 * Reads a log. It may come from anybody, or have been cut anywhere: every length is checked against what is there, and
 * reading ends at the first record that is not whole. What the records say is checked by whoever uses them.
 */
import {
  COUNTING_VERSION,
  checksumOf,
  decodeLogHeader,
  Flag,
  Kind,
  LOG_HEADER,
  LOG_HEADER_BYTE_LENGTH,
  type LogHeader,
  markOf,
  RECORD_HEAD,
  RECORD_WORDS,
  wordsOf,
} from "./format.js";
import type { LogEnd } from "./writer.js";

/** One record, of which the bytes stay in the log. */
export interface LogRecord {
  /** A host call, or one of `Kind`. */
  readonly kind: number;
  readonly result: number;
  /** Bits of `Flag`. */
  readonly flags: number;
  readonly check: number;
  readonly payload: Buffer;
  /** What it says is the outputs of its call, or begins with them: its own payload, or that of an earlier record. */
  readonly outputs: Buffer;
}

export class LogReader {
  readonly header: LogHeader;
  /** Where the whole records end. */
  readonly end: LogEnd;
  readonly recordCount: number;
  /** Host calls that the records tell of, repeated ones as often as they were made. */
  readonly callCount: number;
  /** The last record says that the next file has more. */
  readonly isContinued: boolean;
  /** The kind of a call that was begun and is not among the records; undefined: none was, as far as the log says. */
  readonly begun: number | undefined;
  /** Behind the records is the mark of a call, be it among them or not. */
  readonly #isMarked: boolean;
  readonly #words: Int32Array;
  readonly #bytes: Buffer;
  #at = LOG_HEADER_BYTE_LENGTH / 4;
  #last: LogRecord | undefined;
  /** How often the last record has been given out again. */
  #repeated = 0;
  /** What the record before counts, if it is a REPEATED one. */
  #repetitions = 0;

  private constructor(header: LogHeader, bytes: Buffer, words: Int32Array) {
    this.header = header;
    this.#bytes = bytes;
    this.#words = words;
    let at = this.#at;
    let sum = bytes.readInt32LE(LOG_HEADER.checksum);
    let count = 0;
    let calls = 0;
    let kind = 0;
    let repetitions = 0;
    for (;;) {
      const next = this.#wholeRecord(at, sum);
      if (next === undefined) break;
      kind = words[at]! & 0xff;
      repetitions = kind === Kind.REPEATED ? this.#repetitionsAt(at) : 0;
      calls += kind < Kind.BEGIN ? 1 : repetitions;
      ({ at, sum } = next);
      count++;
    }
    this.end = { at, sum, repetitions };
    this.recordCount = count;
    this.callCount = calls;
    this.isContinued = kind === Kind.CONTINUED;
    const behind = words[at] ?? 0;
    this.#isMarked = behind < 0;
    const hasCount = bytes.readUInt32LE(LOG_HEADER.version) >= COUNTING_VERSION;
    const isAmongThem = hasCount && repetitions > 0 && behind === markOf(behind & 0xff, repetitions - 1);
    this.begun = this.#isMarked && !isAmongThem ? behind & 0xff : undefined;
  }

  /**
   * Behind the last whole record lies what no dying process leaves there: the head of a record that is not whole (A1 in
   * writer.ts), or further whole records. A power cut may leave that, too.
   */
  findDamage(): boolean {
    const words = this.#words;
    const { at } = this.end;
    if ((words[at] ?? 0) !== 0 && !this.#isMarked) return true;
    let last = words.length - 1;
    while (last > at && words[last] === 0) last--;
    for (let next = at + 1; next < last; next++) {
      // Each record stands behind the checksum of the one before it.
      if (words[next]! > 0 && this.#wholeRecord(next, words[next - 1]!) !== undefined) return true;
    }
    return false;
  }

  /** Undefined: it has no whole header. The bytes must begin at a multiple of four in their buffer. */
  static over(bytes: Buffer): LogReader | undefined {
    const header = decodeLogHeader(bytes);
    if (header === undefined) return undefined;
    return new LogReader(header, bytes, new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2));
  }

  /** The next record, without going on to it; undefined: that was all. Calls that were repeated come as often. */
  peek(): LogRecord | undefined {
    while (this.#at < this.end.at && (this.#words[this.#at]! & 0xff) === Kind.REPEATED) {
      const repetitions = this.#repetitionsAt(this.#at);
      if (this.#repeated < repetitions && this.#last !== undefined) return this.#last;
      this.#at += RECORD_WORDS + 2;
      this.#repeated = 0;
      this.#repetitions = repetitions;
    }
    if (this.#at >= this.end.at) return undefined;
    const head = this.#words[this.#at]!;
    const start = (this.#at + RECORD_HEAD) * 4;
    const payload = this.#bytes.subarray(start, start + this.#words[this.#at + 1]!);
    const flags = head & 0x7fff0000;
    return {
      kind: head & 0xff,
      result: (head >>> 8) & 0xff,
      flags,
      check: this.#words[this.#at + 2]!,
      payload,
      outputs: (flags & Flag.SAME) === 0 ? payload : this.#payloadBefore(payload),
    };
  }

  /** Of the record that a payload names, up to here: whoever takes the outputs knows how long they are. Empty: it names none. */
  #payloadBefore(payload: Buffer): Buffer {
    const record = payload.byteLength >= 4 ? payload.readUInt32LE() : this.#at;
    const start = Math.min(record + RECORD_HEAD, this.#at) * 4;
    return this.#bytes.subarray(start, this.#at * 4);
  }

  next(): LogRecord | undefined {
    const record = this.peek();
    if (record === undefined) return undefined;
    if ((this.#words[this.#at]! & 0xff) === Kind.REPEATED) this.#repeated++;
    else {
      this.#at += RECORD_WORDS + wordsOf(record.payload.byteLength);
      this.#repetitions = 0;
    }
    this.#last = record;
    return record;
  }

  /** A count that was being changed is found one apart from its inversion. */
  #repetitionsAt(at: number): number {
    const count = this.#words[at + RECORD_HEAD]! >>> 0;
    const inverted = ~this.#words[at + RECORD_HEAD + 1]! >>> 0;
    return Math.min(count, inverted);
  }

  /** Where the next record would be appended, were the log to end here. */
  get here(): LogEnd {
    const atStart = this.#at === LOG_HEADER_BYTE_LENGTH / 4;
    const sum = atStart ? this.#bytes.readInt32LE(LOG_HEADER.checksum) : this.#words[this.#at - 1]!;
    return { at: this.#at, sum, repetitions: this.#repetitions };
  }

  /** How far reading has come, from 0 to 1. */
  get progress(): number {
    return this.#at / this.end.at;
  }

  #isCount(at: number): boolean {
    const words = this.#words;
    if (at + RECORD_HEAD + 2 > words.length) return false;
    const difference = (words[at + RECORD_HEAD]! - ~words[at + RECORD_HEAD + 1]!) | 0;
    return difference === 0 || difference === 1;
  }

  /** Where the record behind the one at `at` begins, and its checksum. */
  #wholeRecord(at: number, previous: number): Omit<LogEnd, "repetitions"> | undefined {
    const words = this.#words;
    if (at + RECORD_WORDS > words.length) return undefined;
    const head = words[at]!;
    const payload = words[at + 1]!;
    if (head <= 0 || (head & 0xff) === 0 || payload < 0) return undefined;
    if ((head & 0xff) === Kind.REPEATED && (payload !== 8 || !this.#isCount(at))) return undefined;
    const end = at + RECORD_HEAD + wordsOf(payload);
    if (end >= words.length) return undefined;
    const sum = checksumOf(previous, words, at, head, payload);
    return words[end] === sum ? { at: end + 1, sum } : undefined;
  }
}
