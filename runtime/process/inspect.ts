import { readdirSync } from "node:fs";
import { join } from "node:path";
import { attempt, VermilionError } from "../../pmem/error.js";
import { describeState } from "../wasi/index.js";
import type { Command } from "./command.js";
import { parseCommand } from "./command-record.js";
import { describeFrames, describeTrap, type FrameInspection } from "./frame-inspection.js";
import { Image } from "./image/image.js";
import { type ImageReading, isResumable, type SavedState } from "./image/reading.js";
import { hasLog } from "./log/files.js";
import type { PersistencePolicy } from "./persistence-policy.js";
import { policyOf } from "./process-state.js";
import { decodeStacks } from "./stacks.js";

/** What the header of an image says; a plain object that JSON carries. */
export interface ImageSummary {
  readonly image: string;
  /**
   * saved: can go on. running: a live process holds it. killed: its process was, and can go on from its last save.
   * lost: its process was killed and has no save that it could go on from.
   * finished, trapped: over. unreadable: `problem` says why.
   */
  readonly status: "saved" | "running" | "killed" | "lost" | "finished" | "trapped" | "unreadable";
  readonly problem: string | null;
  /** The live process that holds the image, if one does. */
  readonly heldBy: number | null;
  /** Number of the last persistence point; 0: none yet. */
  readonly epoch: number;
  /** When the header was last written, ISO 8601. */
  readonly writtenAt: string | null;
  /** Of a finished program. */
  readonly exitStatus: number | null;
  /** Why a trapped program trapped. */
  readonly trap: string | null;
  readonly command: Command | null;
}

/** All that an image holds; a plain object that JSON carries. */
export interface Inspection extends ImageSummary {
  readonly module: { readonly byteLength: number; readonly sha256: string };
  /** Of a process that can go on: when points are made and how calls are logged, unless the next run is told otherwise. */
  readonly policy: PersistencePolicy | null;
  /** In bytes: as the guest sees the memory, and what of it is kept on the disk. */
  readonly memories: readonly { readonly byteLength: number; readonly diskByteLength: number }[];
  /** Of a process that can go on, where it does; of one that has trapped, where that was; innermost first. */
  readonly frames: readonly FrameInspection[];
  /** Of a process that can go on, where it does. */
  readonly descriptors: readonly DescriptorInspection[];
}

export interface DescriptorInspection {
  readonly number: number;
  /** "stdio", "preopen", "file", "directory", "listener" and others. */
  readonly kind: string;
  /** As the guest names it. */
  readonly path: string;
  /** In bytes, decimal; null: it has none. */
  readonly offset: string | null;
  /** "append", "nonblock", "sync" ... */
  readonly flags: readonly string[];
  readonly access: "read" | "write" | "read-write" | "none";
}

/** IMAGE_MISSING, IMAGE_FOREIGN, IMAGE_INCOMPLETE, IMAGE_VERSION, IMAGE_DAMAGED. */
export function summarizeImage(path: string): ImageSummary {
  return summarize(Image.read(path));
}

const MOST_TRIES = 20;

/** `at`: an epoch of the history. NO_SUCH_EPOCH, IMAGE_MISSING, IMAGE_FOREIGN, IMAGE_INCOMPLETE, IMAGE_VERSION, IMAGE_DAMAGED. */
export function inspectImage(path: string, at?: number): Inspection {
  for (let tries = 1; ; tries++) {
    const reading = Image.read(path);
    try {
      return inspectReading(reading, at);
    } catch (error) {
      // A holder that makes persistence points removes the files of the epoch that we have just read about.
      if (tries === MOST_TRIES || Image.read(path).header.sequence === reading.header.sequence) throw error;
    }
  }
}

function inspectReading(reading: ImageReading, at: number | undefined): Inspection {
  const { header } = reading;
  const saved = at === undefined ? reading.readCurrent() : reading.readEpoch(at);
  const trap = saved?.record.trap ?? null;
  const goesOn = saved !== undefined && trap === null;
  const byteLengths = saved?.record.memoryByteLengths ?? header.memoryByteLengths;
  const diskByteLengths = reading.diskByteLengths(saved);
  const summary = summarize(reading);
  return {
    ...summary,
    epoch: at ?? summary.epoch,
    writtenAt: at === undefined || saved === undefined ? summary.writtenAt : new Date(saved.record.at).toISOString(),
    trap: trap?.message ?? summary.trap,
    module: { byteLength: header.moduleByteLength, sha256: header.moduleSha256 },
    policy: goesOn ? policyOf(saved.state, reading.path) : null,
    memories: byteLengths.map((byteLength, index) => ({ byteLength, diskByteLength: diskByteLengths[index] ?? 0 })),
    frames: framesOf(reading, saved),
    descriptors: goesOn ? describeDescriptors(saved) : [],
  };
}

export function describeDescriptors({ state }: SavedState): DescriptorInspection[] {
  return describeState(state.wasi).map((summary) => ({ ...summary, offset: summary.offset?.toString() ?? null }));
}

/** Where it goes on, or has trapped. */
export function framesOf(reading: ImageReading, saved: SavedState | undefined): FrameInspection[] {
  if (saved === undefined) return [];
  const { state, record } = saved;
  if (record.trap !== null) return describeTrap(reading.readModule(), record.trap);
  return describeFrames(reading.readModule(), decodeStacks(state.machine.stacks).tasks, reading.path);
}

/** Directories that are no images are left out; images that cannot be read say why. */
export function listImages(directory: string): ImageSummary[] {
  const names = attempt("list the images", directory, () => readdirSync(directory)).sort();
  return names.flatMap((name) => {
    const image = join(directory, name);
    try {
      return [summarize(Image.read(image))];
    } catch (error) {
      if (!(error instanceof VermilionError)) throw error;
      if (error.code === "IMAGE_FOREIGN" || error.code === "IMAGE_MISSING") return [];
      if (error.code === "IMAGE_INCOMPLETE" && isEmpty(image)) return [];
      const unknown = { heldBy: null, epoch: 0, writtenAt: null, exitStatus: null, trap: null, command: null };
      return [{ image, status: "unreadable" as const, problem: error.message, ...unknown }];
    }
  });
}

function isEmpty(directory: string): boolean {
  return attempt("list", directory, () => readdirSync(directory)).length === 0;
}

function summarize(reading: ImageReading): ImageSummary {
  const { path, header, holder } = reading;
  return {
    image: path,
    status: statusOf(reading),
    problem: null,
    heldBy: holder?.pid ?? null,
    epoch: header.epoch,
    writtenAt: new Date(header.writtenAt).toISOString(),
    exitStatus: header.status === "finished" ? header.exitStatus : null,
    trap: header.status === "trapped" ? header.message : null,
    command: parseCommand(reading.command, path),
  };
}

function statusOf({ header, holder, path }: ImageReading): ImageSummary["status"] {
  if (header.status !== "running") return header.status;
  if (holder !== undefined) return "running";
  const resumable = isResumable(header) || (header.epoch === 0 && !header.inPlace && hasLog(path, 0));
  return resumable ? "killed" : "lost";
}
