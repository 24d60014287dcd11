/**
 * The bytes of a log of host calls. docs/image-format.md#log
 *
 * A header of 64 bytes, then records of u32 words. Each record's checksum begins from the one before it, so that a record
 * can be neither lost from the middle nor taken over from another log. Word 0 of a record is stored last: a process that is
 * killed while it appends leaves zeros there, or the mark of a call that has begun.
 */
import { crc32 } from "node:zlib";
import type { Durability } from "../persistence-policy.js";

/** Version 1 knew no SAME; in 1 and 2 a mark does not say how often the call before it had been repeated. */
export const LOG_VERSION = 3;

/** Byte offsets of the header's fields. */
export const LOG_HEADER = {
  magic: 0, // "VRMLLOG" and a zero byte
  version: 8, // u32
  number: 12, // u32
  epoch: 16, // u64: the persistence point from which the log goes on
  boot: 24, // 16 bytes: which start of the machine wrote it
  durability: 40, // u32: 0 process, 1 system
  reserved: 44, // zeros
  checksum: 60, // u32, CRC-32 of bytes [0, 60)
} as const;

export const LOG_HEADER_BYTE_LENGTH = 64;
export const LOG_MAGIC = Buffer.from("VRMLLOG\0", "latin1");

/** Words of a record before and behind its payload. */
export const RECORD_HEAD = 3;
export const RECORD_WORDS = RECORD_HEAD + 1;

/**
 * In word 0 at the end of a log: a call of that kind (bits 0 to 7) was begun, and no more is known of it. If the record before
 * it is REPEATED, bits 8 to 30 are its count when the call was begun: once it counts more, the call is among them.
 */
export const BEGUN = 0x80000000 | 0;

export function markOf(kind: number, repetitions: number): number {
  return BEGUN | ((repetitions & 0x7fffff) << 8) | kind;
}

/** From here on marks have a count. */
export const COUNTING_VERSION = 3;

/** Kinds from 1 on are host calls (calls.ts); these are not. */
export const Kind = {
  /** How the run began: JSON. */
  BEGIN: 128,
  /** A call is about to have an effect that must not be repeated: JSON, what is needed to find out whether it has. */
  INTENT: 129,
  /** The same for a write at the end of a file: u64 where that is. */
  APPEND_INTENT: 130,
  /** memory.grow: u32 memory, u64 wanted byte length; the result is 1 if it was allowed. */
  GROW: 131,
  /** A function of the embedder's: its results, JSON. */
  HOST_FUNCTION: 132,
  /** The program was told, before its next call, that the power had failed. */
  CALLBACK: 133,
  /** What a call that a failure had interrupted returned instead of going on: u32 bytes it had moved. */
  INTERRUPTED: 134,
  /** The next records are in the log with the next number. */
  CONTINUED: 135,
  /** From here on calls were made that the log does not have. */
  BROKEN: 136,
  /** The call before was made again, with the same outcome: u32 how often, and that number inverted. */
  REPEATED: 137,
  /** Where files are that had lost their names when a persistence point was made: JSON, descriptors. */
  DESCRIPTORS: 138,
} as const;

/** Bits of word 0 from 16 on. */
export const Flag = {
  /** Behind the outputs: u32 byte length and JSON, how descriptors have changed. */
  CHANGED: 1 << 16,
  /** Behind the outputs: u64, the monotonic clock after the call. */
  CLOCK: 1 << 17,
  /** Behind the outputs: f64, where the descriptor stands after the call. */
  POSITION: 1 << 18,
  /** The changes that the intent before it names have happened. */
  INTENDED: 1 << 19,
  /** In place of the outputs: u32, the word at which an earlier record begins that has the same outputs first in its payload. */
  SAME: 1 << 20,
} as const;

/** Payloads from here on enter the checksum by their CRC-32: faster than word by word in JavaScript. */
export const LONG_PAYLOAD = 256;

/** One word into a checksum. */
export function mix(sum: number, word: number): number {
  const product = Math.imul(sum ^ word, 0x85ebca6b);
  return product ^ (product >>> 15);
}

/** Of a whole record: `words` is a view of the log, `at` the index of its first word. */
export function checksumOf(previous: number, words: Int32Array, at: number, head: number, payload: number): number {
  let sum = mix(previous, head);
  sum = mix(sum, payload);
  sum = mix(sum, words[at + 2]!);
  if ((head & 0xff) === Kind.REPEATED) return sum; // its payload changes in place
  const first = at + RECORD_HEAD;
  if (payload < LONG_PAYLOAD) {
    const end = first + wordsOf(payload);
    for (let index = first; index < end; index++) sum = mix(sum, words[index]!);
    return sum;
  }
  return mix(sum, crc32(new Uint8Array(words.buffer, words.byteOffset + first * 4, payload)) | 0);
}

export function wordsOf(byteLength: number): number {
  return (byteLength + 3) >>> 2;
}

export interface LogHeader {
  readonly number: number;
  readonly epoch: number;
  readonly boot: string;
  readonly durability: Durability;
}

export function encodeLogHeader({ number, epoch, boot, durability }: LogHeader): Buffer {
  const bytes = Buffer.alloc(LOG_HEADER_BYTE_LENGTH);
  LOG_MAGIC.copy(bytes, LOG_HEADER.magic);
  bytes.writeUInt32LE(LOG_VERSION, LOG_HEADER.version);
  bytes.writeUInt32LE(number, LOG_HEADER.number);
  bytes.writeBigUInt64LE(BigInt(epoch), LOG_HEADER.epoch);
  Buffer.from(boot.replaceAll("-", ""), "hex").copy(bytes, LOG_HEADER.boot, 0, 16);
  bytes.writeUInt32LE(durability === "system" ? 1 : 0, LOG_HEADER.durability);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, LOG_HEADER.checksum)), LOG_HEADER.checksum);
  return bytes;
}

/** Undefined: there is none, or it was cut short. */
export function decodeLogHeader(bytes: Buffer): LogHeader | undefined {
  if (bytes.byteLength < LOG_HEADER_BYTE_LENGTH || !bytes.subarray(0, 8).equals(LOG_MAGIC)) return undefined;
  if (bytes.readUInt32LE(LOG_HEADER.checksum) !== crc32(bytes.subarray(0, LOG_HEADER.checksum))) return undefined;
  if (bytes.readUInt32LE(LOG_HEADER.version) > LOG_VERSION) return undefined;
  const hex = bytes.toString("hex", LOG_HEADER.boot, LOG_HEADER.boot + 16);
  return {
    number: bytes.readUInt32LE(LOG_HEADER.number),
    epoch: Number(bytes.readBigUInt64LE(LOG_HEADER.epoch)),
    boot: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
    durability: bytes.readUInt32LE(LOG_HEADER.durability) === 1 ? "system" : "process",
  };
}
