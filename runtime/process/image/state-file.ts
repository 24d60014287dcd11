import { crc32 } from "node:zlib";
import { invariant } from "../../../pmem/error.js";
import { damaged, isZero } from "./damage.js";
import { FORMAT_VERSION } from "./header.js";

/**
 * The state file of an epoch: named sections, each with its checksum, behind a preamble.
 *
 *     preamble: magic, version, count, epoch, byte length, then per section: name, byte length, checksum
 *     sections in the order of the preamble, each beginning at a multiple of 8, zeros between them
 *
 * The header slot holds the checksum of the preamble, and so, through the preamble, vouches for every byte, without a
 * second pass over megabytes of frames. The sections are handed to one write as they are: nothing is copied.
 * Format: docs/image-format.md#state-file.
 */
export const PREAMBLE = {
  magic: 0, // 8 bytes: MAGIC
  version: 8, // u32: FORMAT_VERSION
  sectionCount: 12, // u32
  epoch: 16, // u64
  byteLength: 24, // u64: of the whole file
  sections: 32, // sectionCount x SECTION_BYTE_LENGTH
} as const;

export const SECTION = {
  name: 0, // 16 bytes: ASCII, zeros behind it
  byteLength: 16, // u64
  checksum: 24, // u32: CRC-32 of the section's bytes
  reserved: 28, // u32: zero
} as const;

const SECTION_BYTE_LENGTH = 32;
const MAX_SECTIONS = 64;
const MAGIC = Buffer.from("VRMLSTA\0", "latin1");

/** What the machine needs besides linear memory; opaque here. Views into one buffer, each aligned to 8 bytes. */
export interface MachineState {
  readonly globals: Uint8Array;
  readonly tables: Uint8Array;
  readonly segments: Uint8Array;
  readonly stacks: Uint8Array;
}

/** All that is saved at a persistence point besides linear memory. */
export interface ImageState {
  readonly machine: MachineState;
  /** Plain JSON data; bigints travel as decimal strings. Whoever reads it back must treat it as untrusted. */
  readonly wasi: unknown;
  /** The same for the process layer: pending signals and the like. */
  readonly process: unknown;
}

export interface EncodedState {
  readonly chunks: readonly Uint8Array[];
  readonly byteLength: number;
  /** CRC-32 of the preamble. */
  readonly checksum: number;
}

/** What a state file holds: the state, and where linear memory lies (page-maps.ts), still encoded. */
export interface DecodedState {
  readonly state: ImageState;
  readonly pages: Uint8Array;
}

const MACHINE_SECTIONS = ["globals", "tables", "segments", "stacks"] as const;
const JSON_SECTIONS = ["wasi", "process"] as const;

export function encodeState(epoch: number, { state, pages }: DecodedState): EncodedState {
  const sections: [name: string, bytes: Uint8Array][] = [["pages", pages]];
  for (const name of MACHINE_SECTIONS) sections.push([name, state.machine[name]]);
  for (const name of JSON_SECTIONS) sections.push([name, encodeJson(name, state[name])]);

  const preamble = new Uint8Array(PREAMBLE.sections + SECTION_BYTE_LENGTH * sections.length);
  const view = new DataView(preamble.buffer);
  const chunks: Uint8Array[] = [preamble];
  let byteLength = preamble.byteLength;
  sections.forEach(([name, bytes], index) => {
    const offset = PREAMBLE.sections + SECTION_BYTE_LENGTH * index;
    preamble.set(Buffer.from(name, "latin1"), offset + SECTION.name);
    view.setBigUint64(offset + SECTION.byteLength, BigInt(bytes.byteLength), true);
    view.setUint32(offset + SECTION.checksum, crc32(bytes), true);
    const padding = -bytes.byteLength & 7;
    if (bytes.byteLength > 0) chunks.push(bytes);
    if (padding > 0) chunks.push(new Uint8Array(padding));
    byteLength += bytes.byteLength + padding;
  });
  preamble.set(MAGIC, PREAMBLE.magic);
  view.setUint32(PREAMBLE.version, FORMAT_VERSION, true);
  view.setUint32(PREAMBLE.sectionCount, sections.length, true);
  view.setBigUint64(PREAMBLE.epoch, BigInt(epoch), true);
  view.setBigUint64(PREAMBLE.byteLength, BigInt(byteLength), true);
  return { chunks, byteLength, checksum: crc32(preamble) };
}

/** IMAGE_DAMAGED unless `bytes` are exactly what `encodeState` made for this epoch and checksum. */
export function decodeState(bytes: Uint8Array, epoch: number, checksum: number, path: string): DecodedState {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.byteLength >= PREAMBLE.sections ? view.getUint32(PREAMBLE.sectionCount, true) : 0;
  const preambleByteLength = PREAMBLE.sections + SECTION_BYTE_LENGTH * count;
  if (count === 0 || count > MAX_SECTIONS || preambleByteLength > bytes.byteLength) {
    throw damaged(path, "it is cut, or no state file");
  }
  if (crc32(bytes.subarray(0, preambleByteLength)) !== checksum) {
    throw damaged(path, "its preamble is not the one that was saved (wrong checksum)");
  }
  const magicFits = MAGIC.compare(bytes, PREAMBLE.magic, PREAMBLE.version) === 0;
  if (!magicFits || view.getUint32(PREAMBLE.version, true) !== FORMAT_VERSION) {
    throw damaged(path, "it is no state file of this format version");
  }
  if (
    view.getBigUint64(PREAMBLE.epoch, true) !== BigInt(epoch) ||
    view.getBigUint64(PREAMBLE.byteLength, true) !== BigInt(bytes.byteLength)
  ) {
    throw damaged(path, "it belongs to another epoch or has another length");
  }
  const sections = new Map<string, Uint8Array>();
  let offset = preambleByteLength;
  for (let index = 0; index < count; index++) {
    const entry = PREAMBLE.sections + SECTION_BYTE_LENGTH * index;
    const name = Buffer.from(bytes.subarray(entry, entry + 16))
      .toString("latin1")
      .replace(/\0+$/, "");
    const byteLength = Number(view.getBigUint64(entry + SECTION.byteLength, true));
    const end = offset + byteLength;
    const next = end + ((8 - (byteLength % 8)) % 8);
    if (next > bytes.byteLength || sections.has(name)) throw damaged(path, "its sections overlap or pass its end");
    const section = bytes.subarray(offset, end);
    if (crc32(section) !== view.getUint32(entry + SECTION.checksum, true)) {
      throw damaged(path, `section "${name}" has a wrong checksum`);
    }
    if (!isZero(bytes.subarray(end, next))) throw damaged(path, `there are stray bytes behind section "${name}"`);
    sections.set(name, section);
    offset = next;
  }
  if (offset !== bytes.byteLength) throw damaged(path, "there are stray bytes at its end");

  const section = (name: string): Uint8Array => {
    const found = sections.get(name);
    if (found === undefined) throw damaged(path, `section "${name}" is missing`);
    return found;
  };
  return {
    pages: section("pages"),
    state: {
      machine: {
        globals: section("globals"),
        tables: section("tables"),
        segments: section("segments"),
        stacks: section("stacks"),
      },
      wasi: decodeJson(section("wasi"), path),
      process: decodeJson(section("process"), path),
    },
  };
}

function encodeJson(name: string, value: unknown): Uint8Array {
  const text = JSON.stringify(value ?? null);
  invariant(typeof text === "string", `the ${name} state is not JSON`);
  return Buffer.from(text, "utf8");
}

/** Also used for the command record. */
export function decodeJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch (cause) {
    throw damaged(path, "a JSON section is malformed", cause);
  }
}
