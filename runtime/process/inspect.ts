import { readdirSync } from "node:fs";
import { join } from "node:path";
import { attempt, VermilionError } from "../../pmem/error.js";
import { HOST_CALL, HOST_RETURN } from "../instrument/continuation.js";
import { describeState } from "../wasi/index.js";
import { decodeModule, ExternalKind, functionAtByte, type Module } from "../wasm/module.js";
import { readFunctionNames } from "../wasm/names.js";
import type { Command } from "./command.js";
import { parseCommand } from "./command-record.js";
import { Image } from "./image/image.js";
import { type ImageReading, isResumable } from "./image/reading.js";
import { decodeStacks, type Task } from "./stacks.js";

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
  /** In bytes: as the guest sees the memory, and what of it is kept on the disk. */
  readonly memories: readonly { readonly byteLength: number; readonly diskByteLength: number }[];
  /** Of a process that can go on, where it does; innermost first. */
  readonly frames: readonly FrameInspection[];
  /** Of a process that can go on, where it does. */
  readonly descriptors: readonly DescriptorInspection[];
}

export interface FrameInspection {
  /**
   * Which of the process's stacks: the program's own, its start function's, its initializer's, or that of the handler of
   * power failures.
   */
  readonly stack: "entry" | "start" | "initialize" | "callback";
  readonly functionIndex: number;
  /** From the name section or the imports; null: it has none. */
  readonly name: string | null;
  /** Of the instruction where it goes on, in bytes from the beginning of the module; null: inside a host call. */
  readonly offset: number | null;
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

const MOST_TRIES = 20;

/** IMAGE_MISSING, IMAGE_FOREIGN, IMAGE_INCOMPLETE, IMAGE_VERSION, IMAGE_DAMAGED. */
export function inspectImage(path: string): Inspection {
  for (let tries = 1; ; tries++) {
    const reading = Image.read(path);
    try {
      return inspectReading(reading);
    } catch (error) {
      // A holder that makes persistence points removes the files of the epoch that we have just read about.
      if (tries === MOST_TRIES || Image.read(path).header.sequence === reading.header.sequence) throw error;
    }
  }
}

function inspectReading(reading: ImageReading): Inspection {
  const { header } = reading;
  const state = isResumable(header) ? reading.readState() : undefined;
  const diskByteLengths = reading.diskByteLengths();
  return {
    ...summarize(reading),
    module: { byteLength: header.moduleByteLength, sha256: header.moduleSha256 },
    memories: header.memoryByteLengths.map((byteLength, index) => ({
      byteLength,
      diskByteLength: diskByteLengths[index] ?? 0,
    })),
    frames: state === undefined ? [] : describeFrames(reading, decodeStacks(state.machine.stacks).tasks),
    descriptors:
      state === undefined
        ? []
        : describeState(state.wasi).map((summary) => ({ ...summary, offset: summary.offset?.toString() ?? null })),
  };
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
      const unknown = { heldBy: null, epoch: 0, writtenAt: null, exitStatus: null, trap: null, command: null };
      return [{ image, status: "unreadable" as const, problem: error.message, ...unknown }];
    }
  });
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

function statusOf({ header, holder }: ImageReading): ImageSummary["status"] {
  if (header.status !== "running") return header.status;
  if (holder !== undefined) return "running";
  return isResumable(header) ? "killed" : "lost";
}

function describeFrames(reading: ImageReading, tasks: readonly Task[]): FrameInspection[] {
  const bytes = reading.readModule();
  const module = decodeModule(bytes);
  const names = readFunctionNames(bytes);
  const imported = module.imports.filter(({ kind }) => kind === ExternalKind.function).map(({ name }) => name);
  const nameOf = (index: number): string | null => imported[index] ?? names.get(index) ?? null;
  return [...tasks].reverse().flatMap(({ kind: stack, frames }) =>
    placesOf(frames ?? new Uint8Array(0), reading.path).map((place) => {
      const hostCall = place >= HOST_CALL;
      const functionIndex = hostCall ? hostFunction(place) : functionAt(module, place, reading.path);
      return { stack, functionIndex, name: nameOf(functionIndex), offset: hostCall ? null : place };
    }),
  );
}

function hostFunction(place: number): number {
  return (place >= HOST_RETURN ? place - HOST_RETURN : place) & 0x1fffffff;
}

/** The places of a stack's records, innermost first; a record ends with its values' length and its place. */
function placesOf(records: Uint8Array, path: string): number[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const places: number[] = [];
  for (let end = records.byteLength; end > 0; ) {
    if (end < 8) throw misfit(path, "a frame is cut off");
    places.push(view.getUint32(end - 4, true));
    end -= 8 + view.getUint32(end - 8, true);
    if (end < 0) throw misfit(path, "a frame is cut off");
  }
  return places.reverse();
}

function functionAt(module: Module, place: number, path: string): number {
  const index = functionAtByte(module, place);
  if (index === undefined) throw misfit(path, `no function of the module holds byte ${place}`);
  return index;
}

function misfit(path: string, reason: string): VermilionError {
  return new VermilionError("IMAGE_DAMAGED", `${path}: the saved stacks do not fit the module: ${reason}`);
}
