/**
 * Which outputs a log holds already: a database reads the same pages again and again, and a word says what a page says.
 *
 * S1  An entry names a record of this log, whose payload begins with the outputs; whoever asks gets it only when every byte
 *     has been compared. So two outputs that are taken for each other cost time, and nothing else.
 */
import { RECORD_HEAD } from "./format.js";

const SLOTS = 4096;
const SAMPLES = 16;

export class SeenOutputs {
  /** First words of records; 0: none. By a number that is made of some of the bytes. */
  readonly #records = new Int32Array(SLOTS);
  readonly #byteLengths = new Int32Array(SLOTS);

  /**
   * The record in `log` with the same bytes as these `ranges` (place, byte length, and so on) of `source`; 0: there is none
   * that is known, and the record that begins at the word `next` is remembered for them.
   */
  find(log: Buffer, next: number, source: Uint8Array, ranges: readonly number[], byteLength: number): number {
    const slot = sampleOf(source, ranges, byteLength) & (SLOTS - 1);
    const record = this.#records[slot] ?? 0;
    if (record > 0 && this.#byteLengths[slot] === byteLength && isAt(log, record, source, ranges)) return record;
    this.#records[slot] = next;
    this.#byteLengths[slot] = byteLength;
    return 0;
  }
}

/** S1. */
function isAt(log: Buffer, record: number, source: Uint8Array, ranges: readonly number[]): boolean {
  let at = (record + RECORD_HEAD) * 4;
  for (let index = 0; index < ranges.length; index += 2) {
    const [from, byteLength] = [ranges[index]!, ranges[index + 1]!];
    if (log.compare(source, from, from + byteLength, at, at + byteLength) !== 0) return false;
    at += byteLength;
  }
  return true;
}

/** Of bytes spread over the longest range. */
function sampleOf(source: Uint8Array, ranges: readonly number[], byteLength: number): number {
  let longest = 0;
  for (let index = 2; index < ranges.length; index += 2) if (ranges[index + 1]! > ranges[longest + 1]!) longest = index;
  const [from, length] = [ranges[longest]!, ranges[longest + 1]!];
  const step = Math.max(1, Math.floor(length / SAMPLES));
  let sum = byteLength;
  for (let at = from; at + 3 < from + length; at += step) {
    sum = Math.imul(sum ^ source[at]!, 0x9e3779b1) ^ (sum >>> 15);
    sum =
      Math.imul(sum ^ ((source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!), 0x85ebca6b) ^ (sum >>> 13);
  }
  return sum ^ (sum >>> 16);
}
