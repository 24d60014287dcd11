import { crc32 } from "node:zlib";
import { WASM_PAGE_BYTE_LENGTH } from "../../wasm/module.js";
import { damagedForGood, imageError, isZero } from "./damage.js";

/**
 * The header of an image: two slots of one 4 KiB sector each, of which one is current, and the command record.
 *
 * H1  From the end of `Image.create` on, at least one slot is valid.
 * H2  A slot is written only once everything it names is durable.
 * H3  Write number N goes to slot N % 2, so never over the current slot. The valid slot with the higher number is
 *     current; two valid slots carry neighbouring numbers.
 * H4  What a slot says lies in its first 512 bytes, which a disk writes whole or not at all: no power cut tears it.
 * H5  A slot that names a state file can be resumed, whether it says "saved" or "running": its pages are in the page
 *     store and stay there. Only a process that writes its regions in place has no state while it runs.
 *
 * So whatever is cut off, the current slot names the last epoch. Format: docs/image-format.md#header.
 */
export const FORMAT_VERSION = 4;

/** Byte offsets within a slot; little-endian. Any change to this table bumps FORMAT_VERSION. */
export const SLOT = {
  magic: 0, // 8 bytes: MAGIC
  version: 8, // u32: FORMAT_VERSION
  status: 12, // u32: index into STATUSES
  sequence: 16, // u64: number of this write, from 1
  epoch: 24, // u64: the persistence point that the process goes on from; 0: none yet
  exitStatus: 32, // u32: of a finished guest
  instrumenterVersion: 36, // u32: frames of another version do not fit
  moduleByteLength: 40, // u64
  moduleSha256: 48, // 32 bytes
  highestEpoch: 80, // u64: of all that were ever named by a slot
  stateChecksum: 88, // u32: of the state file, see state-file.ts
  commandChecksum: 92, // u32: CRC-32 of the command record
  commandByteLength: 96, // u64: of the command record, which follows the slots
  memoryCount: 104, // u32
  messageByteLength: 108, // u32
  writtenAt: 112, // u64: wall clock, milliseconds since 1970
  memoryMode: 120, // u32: 0 the page store, 1 regions written in place
  stateIsPresent: 124, // u32: 1 if there is a state file
  memories: 128, // MAX_MEMORIES x u32: lengths in units of 64 KiB, zeros behind them
  message: 384, // MAX_MESSAGE bytes: why the guest trapped, UTF-8, zeros behind it
  checksum: 508, // u32: CRC-32 of bytes [0, 508)
  padding: 512, // zeros
} as const;

export const SLOT_BYTE_LENGTH = 4096;
/** Where the command record begins. */
export const SLOTS_BYTE_LENGTH = 2 * SLOT_BYTE_LENGTH;
export const MAX_MEMORIES = 64;
const MAX_MESSAGE = SLOT.checksum - SLOT.message;
/** Where version 1 had its checksum. */
const CHECKSUM_OF_VERSION_1 = 4092;
const MAGIC = Buffer.from("VRMLIMG\0", "latin1");

/** V8 takes no larger module. */
export const MAX_MODULE_BYTES = 2 ** 30;
/** The frame stack holds 1 GiB at most; a bound for what an image from others can make us read. */
export const MAX_STATE_BYTES = 2 ** 31;
export const MAX_COMMAND_BYTES = 2 ** 24;

const STATUSES = ["running", "saved", "finished", "trapped"] as const;

/**
 * running: a guest runs, or ran and was killed; it goes on from the epoch, if there is a state (H5). saved: at a
 * persistence point. finished, trapped: over. running -> saved | finished | trapped; saved -> running.
 */
export type ImageStatus = (typeof STATUSES)[number];

export interface ImageHeader {
  readonly status: ImageStatus;
  readonly sequence: number;
  readonly epoch: number;
  /** Of a finished guest; 0 otherwise. */
  readonly exitStatus: number;
  /** Why a trapped guest trapped; empty otherwise. Cut to 124 bytes. */
  readonly message: string;
  readonly instrumenterVersion: number;
  readonly moduleByteLength: number;
  /** Hexadecimal. */
  readonly moduleSha256: string;
  /** The highest that any slot has named; state files with higher numbers were never committed. */
  readonly highestEpoch: number;
  /** Of `state-<epoch>`, always there when saved, never when finished. Trapped: of the file `trap`, memory only. */
  readonly state: { readonly checksum: number } | undefined;
  readonly command: { readonly byteLength: number; readonly checksum: number };
  /** Linear memory lies in regions, written in place, and not in the page store. */
  readonly inPlace: boolean;
  /** In bytes, at the time of the state. */
  readonly memoryByteLengths: readonly number[];
  /** Wall clock, milliseconds since 1970. */
  readonly writtenAt: number;
}

export function encodeSlot(header: ImageHeader): Uint8Array {
  const bytes = new Uint8Array(SLOT_BYTE_LENGTH);
  const view = new DataView(bytes.buffer);
  const u32 = (offset: number, value: number) => view.setUint32(offset, value, true);
  const u64 = (offset: number, value: number) => view.setBigUint64(offset, BigInt(value), true);
  const message = cutText(header.message);
  bytes.set(MAGIC, SLOT.magic);
  u32(SLOT.version, FORMAT_VERSION);
  u32(SLOT.status, STATUSES.indexOf(header.status));
  u64(SLOT.sequence, header.sequence);
  u64(SLOT.epoch, header.epoch);
  u32(SLOT.exitStatus, header.exitStatus);
  u32(SLOT.instrumenterVersion, header.instrumenterVersion);
  u64(SLOT.moduleByteLength, header.moduleByteLength);
  bytes.set(Buffer.from(header.moduleSha256, "hex"), SLOT.moduleSha256);
  u64(SLOT.highestEpoch, header.highestEpoch);
  u32(SLOT.stateIsPresent, header.state === undefined ? 0 : 1);
  u32(SLOT.stateChecksum, header.state?.checksum ?? 0);
  u32(SLOT.commandChecksum, header.command.checksum);
  u64(SLOT.commandByteLength, header.command.byteLength);
  u32(SLOT.memoryCount, header.memoryByteLengths.length);
  u32(SLOT.messageByteLength, message.byteLength);
  u64(SLOT.writtenAt, header.writtenAt);
  u32(SLOT.memoryMode, header.inPlace ? 1 : 0);
  bytes.set(message, SLOT.message);
  header.memoryByteLengths.forEach((byteLength, index) => {
    u32(SLOT.memories + 4 * index, byteLength / WASM_PAGE_BYTE_LENGTH);
  });
  u32(SLOT.checksum, crc32(bytes.subarray(0, SLOT.checksum)));
  return bytes;
}

export interface CurrentSlot {
  readonly header: ImageHeader;
  /** What is wrong with the other slot: it was torn by a crash, or damaged later. */
  readonly damage: string | undefined;
}

/**
 * Which of the two slots at the beginning of `bytes` is current.
 * IMAGE_FOREIGN, IMAGE_VERSION, IMAGE_DAMAGED; `path` names the file in their messages.
 */
export function currentSlot(bytes: Uint8Array, path: string): CurrentSlot {
  if (bytes.byteLength < SLOTS_BYTE_LENGTH) {
    throw damagedForGood(path, `it has ${bytes.byteLength} bytes, fewer than its two slots take`);
  }
  const slots = [0, 1].map((index) => decodeSlot(bytes, index, path));
  const [a, b] = slots;
  if (a?.header !== undefined && b?.header !== undefined) {
    const [older, newer] = a.header.sequence < b.header.sequence ? [a.header, b.header] : [b.header, a.header];
    if (newer.sequence !== older.sequence + 1) {
      throw damagedForGood(path, `its slots do not belong together (writes ${older.sequence} and ${newer.sequence})`);
    }
    return { header: newer, damage: undefined };
  }
  const valid = slots.findIndex(({ header }) => header !== undefined);
  const header = slots[valid]?.header;
  if (header === undefined) {
    if (slots.every(({ foreign }) => foreign)) {
      throw imageError("IMAGE_FOREIGN", path, "it is not the header of an image", "check the path");
    }
    throw damagedForGood(path, `slot 0: ${a?.flaw}; slot 1: ${b?.flaw}`);
  }
  // The first write leaves the other slot blank.
  const blank = isZero(bytes.subarray(SLOT_BYTE_LENGTH * (1 - valid), SLOT_BYTE_LENGTH * (2 - valid)));
  if (blank && header.sequence === 1) return { header, damage: undefined };
  return { header, damage: `slot ${1 - valid}: ${slots[1 - valid]?.flaw}` };
}

interface DecodedSlot {
  readonly header?: ImageHeader;
  readonly flaw?: string;
  readonly foreign: boolean;
}

function decodeSlot(file: Uint8Array, index: number, path: string): DecodedSlot {
  const bytes = file.subarray(SLOT_BYTE_LENGTH * index, SLOT_BYTE_LENGTH * (index + 1));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (offset: number) => view.getUint32(offset, true);
  const u64 = (offset: number) => Number(view.getBigUint64(offset, true));
  if (MAGIC.compare(bytes, SLOT.magic, SLOT.version) !== 0) return { flaw: "no slot", foreign: true };
  // Magic, version and checksum stay where they are in every version from 2 on, so a version is to be trusted below.
  const version = u32(SLOT.version);
  const end = version === 1 ? CHECKSUM_OF_VERSION_1 : SLOT.checksum;
  if (crc32(bytes.subarray(0, end)) !== u32(end)) return { flaw: "wrong checksum", foreign: false };
  if (version !== FORMAT_VERSION) {
    const reason = `it has format version ${version}, and this Vermilion reads version ${FORMAT_VERSION}`;
    throw imageError("IMAGE_VERSION", path, reason, "use the Vermilion that wrote it, or start again with --fresh");
  }
  const flaw = flawOf(bytes, index, u32, u64);
  const status = STATUSES[u32(SLOT.status)];
  if (flaw !== undefined || status === undefined) return { flaw: flaw ?? "impossible status", foreign: false };
  const memoryByteLengths = Array.from(
    { length: u32(SLOT.memoryCount) },
    (_, n) => WASM_PAGE_BYTE_LENGTH * u32(SLOT.memories + 4 * n),
  );
  const header: ImageHeader = {
    status,
    sequence: u64(SLOT.sequence),
    epoch: u64(SLOT.epoch),
    exitStatus: u32(SLOT.exitStatus),
    message: Buffer.from(bytes.subarray(SLOT.message, SLOT.message + u32(SLOT.messageByteLength))).toString("utf8"),
    instrumenterVersion: u32(SLOT.instrumenterVersion),
    moduleByteLength: u64(SLOT.moduleByteLength),
    moduleSha256: Buffer.from(bytes.subarray(SLOT.moduleSha256, SLOT.moduleSha256 + 32)).toString("hex"),
    highestEpoch: u64(SLOT.highestEpoch),
    state: u32(SLOT.stateIsPresent) === 0 ? undefined : { checksum: u32(SLOT.stateChecksum) },
    command: { byteLength: u64(SLOT.commandByteLength), checksum: u32(SLOT.commandChecksum) },
    inPlace: u32(SLOT.memoryMode) === 1,
    memoryByteLengths,
    writtenAt: u64(SLOT.writtenAt),
  };
  return { header, foreign: false };
}

type Read = (offset: number) => number;

/** The checksum protects against accidents; an image from others has a right one around any numbers. Undefined: there is none. */
function flawOf(bytes: Uint8Array, index: number, u32: Read, u64: Read): string | undefined {
  const status = STATUSES[u32(SLOT.status)];
  const [sequence, epoch, highestEpoch] = [u64(SLOT.sequence), u64(SLOT.epoch), u64(SLOT.highestEpoch)];
  const areNumbers = Number.isSafeInteger(sequence) && Number.isSafeInteger(highestEpoch) && epoch <= highestEpoch;
  if (status === undefined || !areNumbers) return "impossible status or number";
  if (sequence % 2 !== index) return "it belongs into the other place";
  const [moduleByteLength, commandByteLength] = [u64(SLOT.moduleByteLength), u64(SLOT.commandByteLength)];
  if (moduleByteLength > MAX_MODULE_BYTES || commandByteLength > MAX_COMMAND_BYTES) {
    return "impossible module or command length";
  }
  const stateIsPresent = u32(SLOT.stateIsPresent);
  const mayHaveState = status !== "finished" && (epoch > 0 || status === "trapped");
  const stateFits = stateIsPresent === 1 ? mayHaveState : stateIsPresent === 0 && status !== "saved";
  if (!stateFits) return "state file and status do not agree";
  const isTooMuch = u32(SLOT.memoryCount) > MAX_MEMORIES || u32(SLOT.messageByteLength) > MAX_MESSAGE;
  if (isTooMuch || u32(SLOT.memoryMode) > 1) return "impossible counts";
  return isZero(bytes.subarray(SLOT.padding)) ? undefined : "stray bytes behind it";
}

/** UTF-8, cut at a character's boundary to what a slot holds. */
function cutText(text: string): Uint8Array {
  const bytes = new Uint8Array(MAX_MESSAGE);
  return bytes.subarray(0, new TextEncoder().encodeInto(text, bytes).written);
}
