/**
 * What makes an epoch visible in a store: `epochs/<number>`, put last. The first line is the SHA-256 of the rest, JSON, so a
 * manifest that was cut is none. A store may come from others: every field is checked before anything is made of it.
 */
import { createHash } from "node:crypto";
import { VermilionError } from "../../../pmem/error.js";
import type { EpochRecord } from "../image/epoch-record.js";
import { isKeptFile, parseEpochRecord } from "../image/epoch-record.js";
import { MAX_COMMAND_BYTES, MAX_MEMORIES, MAX_MODULE_BYTES, MAX_STATE_BYTES } from "../image/header.js";
import { getBlock, listBlocks } from "./asking.js";
import type { BlockStore } from "./block-store.js";
import { BLOCK_BYTE_LENGTH, type Content } from "./contents.js";
import { damagedStore } from "./store-error.js";

const FORMAT = 1;
const HASH = /^[0-9a-f]{64}$/;
const MAX_MEMORY_BYTES = 2 ** 32;
const MAX_FILE_BYTES = 2 ** 40;

export interface Manifest {
  readonly format: typeof FORMAT;
  readonly epoch: number;
  readonly record: EpochRecord;
  readonly instrumenterVersion: number;
  /** As in the image's header; untrusted. */
  readonly command: unknown;
  readonly module: Content;
  /** The state file, with no page in its maps. */
  readonly state: Content;
  readonly memories: readonly Content[];
  /** Files without a name that the guest has open. */
  readonly files: readonly { readonly name: string; readonly content: Content }[];
}

export const manifestName = (epoch: number): string => `epochs/${String(epoch).padStart(15, "0")}`;

/** Ascending. */
export async function listManifests(store: BlockStore): Promise<number[]> {
  const blocks = await listBlocks(store, "epochs/");
  return blocks
    .flatMap(({ name }) => Number(/^epochs\/(\d{15})$/.exec(name)?.[1] ?? Number.NaN))
    .filter((epoch) => epoch > 0)
    .sort((a, b) => a - b);
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const json = JSON.stringify(manifest);
  return Buffer.from(`${createHash("sha256").update(json).digest("hex")}\n${json}`, "utf8");
}

/** Undefined: there is none. STORE_DAMAGED: it was cut, or is not one. */
export async function readManifest(store: BlockStore, epoch: number): Promise<Manifest | undefined> {
  const name = manifestName(epoch);
  const bytes = await getBlock(store, name);
  if (bytes === undefined) return undefined;
  const text = Buffer.from(bytes).toString("utf8");
  const json = text.slice(65);
  if (text[64] !== "\n" || createHash("sha256").update(json).digest("hex") !== text.slice(0, 64)) {
    throw damagedStore(store, `${name} is cut, or not what was put there`);
  }
  try {
    return parsed(store, name, epoch, JSON.parse(json));
  } catch (error) {
    if (error instanceof VermilionError && error.code === "STORE_DAMAGED") throw error;
    throw damagedStore(store, `${name} is malformed`, error);
  }
}

/** What cannot be read of a store, though it was put there. */
export interface StoreEvents {
  /** An epoch is left out: its manifest was cut, damaged, or made by another version. STORE_DAMAGED. */
  readonly damaged?: ((epoch: number, error: VermilionError) => void) | undefined;
}

/** Undefined: there is none that is whole. */
export async function wholeManifest(
  store: BlockStore,
  epoch: number,
  events: StoreEvents = {},
): Promise<Manifest | undefined> {
  try {
    return await readManifest(store, epoch);
  } catch (error) {
    if (!(error instanceof VermilionError) || error.code !== "STORE_DAMAGED") throw error; // not read is not cut
    events.damaged?.(epoch, error);
    return undefined;
  }
}

function parsed(store: BlockStore, name: string, epoch: number, value: unknown): Manifest {
  const misfit = (what: string) => damagedStore(store, `${name}: its ${what} is malformed`);
  const fields = (typeof value === "object" && value !== null ? value : {}) as Partial<Record<keyof Manifest, unknown>>;
  const { format, instrumenterVersion, command, module, state, memories, files } = fields;
  if (format !== FORMAT) throw damagedStore(store, `${name} has another format than this version knows`);
  if (fields.epoch !== epoch) throw misfit("number");
  const record = parseEpochRecord(fields.record, name);
  if (!isU32(instrumenterVersion)) throw misfit("instrumenter version");
  if (typeof command !== "object" || command === null || JSON.stringify(command).length > MAX_COMMAND_BYTES)
    throw misfit("command");
  if (!isContent(module, MAX_MODULE_BYTES)) throw misfit("module");
  if (!isContent(state, MAX_STATE_BYTES)) throw misfit("state");
  const lengths = record.memoryByteLengths;
  if (!Array.isArray(memories) || memories.length !== lengths.length || memories.length > MAX_MEMORIES)
    throw misfit("list of memories");
  if (!memories.every((each, index) => isContent(each, MAX_MEMORY_BYTES) && each.byteLength === lengths[index]))
    throw misfit("memory");
  if (!Array.isArray(files) || !files.every(isFile)) throw misfit("list of files");
  const names = files.map((file) => file.name);
  if (names.length !== record.keptFiles.length || record.keptFiles.some((kept, index) => kept !== names[index]))
    throw misfit("list of files");
  return { format: FORMAT, epoch, record, instrumenterVersion, command, module, state, memories, files };
}

function isU32(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}

function isContent(value: unknown, limit: number): value is Content {
  const { byteLength, blocks } = (value ?? {}) as Partial<Record<keyof Content, unknown>>;
  if (!Number.isSafeInteger(byteLength) || (byteLength as number) < 0 || (byteLength as number) > limit) return false;
  if (!Array.isArray(blocks) || blocks.length !== Math.ceil((byteLength as number) / BLOCK_BYTE_LENGTH)) return false;
  return blocks.every((hash) => hash === null || (typeof hash === "string" && HASH.test(hash)));
}

function isFile(value: unknown): value is { readonly name: string; readonly content: Content } {
  const { name, content } = (value ?? {}) as { name?: unknown; content?: unknown };
  return isKeptFile(name) && isContent(content, MAX_FILE_BYTES);
}
