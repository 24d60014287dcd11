import { crc32 } from "node:zlib";
import { invariant } from "../../../pmem/error.js";
import { damaged, isZero } from "./damage.js";
import { type EpochRecord, parseEpochRecord } from "./epoch-record.js";
import { FORMAT_VERSION, MAX_STATE_BYTES } from "./header.js";

/**
 * The state file of an epoch: named sections, each with its checksum, behind a preamble.
 *
 *     preamble: magic, version, count, epoch, byte length, checksum, then per section: name, byte length, checksum
 *     sections in the order of the preamble, each beginning at a multiple of 8, zeros between them
 *
 * The preamble has its own checksum and those of the sections, so a file vouches for itself, without a second pass over
 * megabytes of frames. The header slot vouches for the current one, by a checksum over what is saved but not over where
 * its pages lie: moving them leaves it true. The sections are handed to one write as they are: nothing is copied.
 * Format: docs/image-format.md#state-file.
 */
export const PREAMBLE = {
  magic: 0, // 8 bytes: MAGIC
  version: 8, // u32: FORMAT_VERSION
  sectionCount: 12, // u32
  epoch: 16, // u64
  byteLength: 24, // u64: of the whole file
  checksum: 32, // u32: CRC-32 of the preamble, with zeros here
  reserved: 36, // u32: zero
  sections: 40, // sectionCount x SECTION_BYTE_LENGTH
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
  /** For the header slot. */
  readonly checksum: number;
}

/** What a state file holds: the state, the epoch's record, and where linear memory lies (page-maps.ts), still encoded. */
export interface StateContent {
  readonly record: EpochRecord;
  readonly state: ImageState;
  readonly pages: Uint8Array;
}

export interface DecodedState extends StateContent {
  /** As in EncodedState. */
  readonly checksum: number;
}

const MACHINE_SECTIONS = ["globals", "tables", "segments", "stacks"] as const;
const JSON_SECTIONS = ["wasi", "process"] as const;
const RECORD_SECTION = "epoch";
const PAGES_SECTION = "pages";

export function encodeState(epoch: number, { record, state, pages }: StateContent): EncodedState {
  // The record first: who lists the epochs reads the beginning of each file.
  const sections: [name: string, bytes: Uint8Array][] = [
    [RECORD_SECTION, encodeJson(RECORD_SECTION, record)],
    [PAGES_SECTION, pages],
  ];
  for (const name of MACHINE_SECTIONS) sections.push([name, state.machine[name]]);
  for (const name of JSON_SECTIONS) sections.push([name, encodeJson(name, state[name])]);
  return encodeSections(epoch, sections);
}

/** A state file whose pages lie elsewhere now; all else is as it was, byte for byte. IMAGE_DAMAGED. */
export function withPages(bytes: Uint8Array, epoch: number, pages: Uint8Array, path: string): EncodedState {
  const { sections } = readPreamble(bytes, epoch, path);
  return encodeSections(
    epoch,
    sections.map(({ name, offset, byteLength }) => [
      name,
      name === PAGES_SECTION ? pages : bytes.subarray(offset, offset + byteLength),
    ]),
  );
}

function encodeSections(
  epoch: number,
  sections: readonly (readonly [name: string, bytes: Uint8Array])[],
): EncodedState {
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
  view.setUint32(PREAMBLE.checksum, crc32(preamble), true);
  return { chunks, byteLength, checksum: contentChecksum(preamble) };
}

/** Of the epoch's number and of all sections but the page maps. */
function contentChecksum(preamble: Uint8Array): number {
  let checksum = crc32(preamble.subarray(PREAMBLE.epoch, PREAMBLE.byteLength));
  for (let at: number = PREAMBLE.sections; at < preamble.byteLength; at += SECTION_BYTE_LENGTH) {
    const entry = preamble.subarray(at, at + SECTION_BYTE_LENGTH);
    if (sectionName(entry) !== PAGES_SECTION) checksum = crc32(entry, checksum);
  }
  return checksum;
}

function sectionName(entry: Uint8Array): string {
  return Buffer.from(entry.subarray(SECTION.name, SECTION.byteLength)).toString("latin1").replace(/\0+$/, "");
}

/** IMAGE_DAMAGED unless `bytes` are exactly what `encodeState` made for this epoch. */
export function decodeState(bytes: Uint8Array, epoch: number, path: string): DecodedState {
  const { preamble, sections } = readPreamble(bytes, epoch, path);
  if (declaredByteLength(preamble) !== BigInt(bytes.byteLength)) {
    throw damaged(path, "it has another length than it was written with");
  }
  for (const { name, offset, byteLength, checksum } of sections) {
    const section = bytes.subarray(offset, offset + byteLength);
    if (crc32(section) !== checksum) throw damaged(path, `section "${name}" has a wrong checksum`);
    const padding = bytes.subarray(offset + byteLength, paddedTo8(offset + byteLength));
    if (!isZero(padding)) throw damaged(path, `there are stray bytes behind section "${name}"`);
  }
  const section = (name: string): Uint8Array => sectionBytes(bytes, sections, name, path);
  return {
    checksum: contentChecksum(preamble),
    record: parseEpochRecord(decodeJson(section(RECORD_SECTION), path), path),
    pages: section(PAGES_SECTION),
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

/** How much of a file `decodeBeginning` wants at least, if there is as much. */
export const BEGINNING_BYTE_LENGTH = 4096;

export interface Beginning {
  readonly record: EpochRecord;
  /** Where the page maps lie in the file, and their checksum. */
  readonly pages: PlacedSection;
  /** Of the whole file. */
  readonly byteLength: number;
}

/** The record, from the first bytes of a file. Undefined: they are too few. IMAGE_DAMAGED. */
export function decodeBeginning(bytes: Uint8Array, epoch: number, path: string): Beginning | undefined {
  const { preamble, sections } = readPreamble(bytes, epoch, path);
  const record = sections.find(({ name }) => name === RECORD_SECTION);
  const pages = sections.find(({ name }) => name === PAGES_SECTION);
  if (record === undefined || pages === undefined) throw damaged(path, "a section is missing");
  if (record.offset + record.byteLength > bytes.byteLength) return undefined;
  const json = bytes.subarray(record.offset, record.offset + record.byteLength);
  if (crc32(json) !== record.checksum) throw damaged(path, `section "${RECORD_SECTION}" has a wrong checksum`);
  return {
    record: parseEpochRecord(decodeJson(json, path), path),
    pages,
    byteLength: Number(declaredByteLength(preamble)),
  };
}

export interface PlacedSection {
  readonly name: string;
  /** In the file. */
  readonly offset: number;
  readonly byteLength: number;
  readonly checksum: number;
}

/** `bytes`: the file, or its beginning. IMAGE_DAMAGED. */
function readPreamble(bytes: Uint8Array, epoch: number, path: string) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.byteLength >= PREAMBLE.sections ? view.getUint32(PREAMBLE.sectionCount, true) : 0;
  const end = PREAMBLE.sections + SECTION_BYTE_LENGTH * count;
  if (count === 0 || count > MAX_SECTIONS || end > bytes.byteLength) throw damaged(path, "it is cut, or no state file");
  const preamble = bytes.subarray(0, end);
  const blank = new Uint8Array(preamble);
  new DataView(blank.buffer).setUint32(PREAMBLE.checksum, 0, true);
  if (crc32(blank) !== view.getUint32(PREAMBLE.checksum, true)) {
    throw damaged(path, "its preamble is not the one that was saved (wrong checksum)");
  }
  const magicFits = MAGIC.compare(bytes, PREAMBLE.magic, PREAMBLE.version) === 0;
  if (!magicFits || view.getUint32(PREAMBLE.version, true) !== FORMAT_VERSION) {
    throw damaged(path, "it is no state file of this format version");
  }
  if (view.getBigUint64(PREAMBLE.epoch, true) !== BigInt(epoch)) throw damaged(path, "it belongs to another epoch");
  const sections: PlacedSection[] = [];
  let offset = end;
  for (let at: number = PREAMBLE.sections; at < end; at += SECTION_BYTE_LENGTH) {
    const name = sectionName(bytes.subarray(at, at + SECTION_BYTE_LENGTH));
    const byteLength = Number(view.getBigUint64(at + SECTION.byteLength, true));
    if (byteLength > MAX_STATE_BYTES || sections.some((section) => section.name === name)) {
      throw damaged(path, "its sections overlap or pass its end");
    }
    sections.push({ name, offset, byteLength, checksum: view.getUint32(at + SECTION.checksum, true) });
    offset = paddedTo8(offset + byteLength);
  }
  if (declaredByteLength(preamble) !== BigInt(offset)) {
    throw damaged(path, "its sections do not fill it");
  }
  return { preamble, sections };
}

function declaredByteLength(preamble: Uint8Array): bigint {
  return new DataView(preamble.buffer, preamble.byteOffset).getBigUint64(PREAMBLE.byteLength, true);
}

function paddedTo8(byteLength: number): number {
  return Math.ceil(byteLength / 8) * 8;
}

function sectionBytes(bytes: Uint8Array, sections: readonly PlacedSection[], name: string, path: string): Uint8Array {
  const found = sections.find((section) => section.name === name);
  if (found === undefined) throw damaged(path, `section "${name}" is missing`);
  return bytes.subarray(found.offset, found.offset + found.byteLength);
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
