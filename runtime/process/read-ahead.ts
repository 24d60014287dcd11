/**
 * What a guest's thread needs first, read and compiled by the main thread while that one boots: for a large program this takes as
 * long as the boot. The program's form goes first, on a guess, so that the thread compiles it while the program itself is
 * read and hashed; if the guess was wrong, nobody uses what was compiled.
 *
 * Only what is right whoever does it, and nothing that the main thread would have to set the engine's flags for. What cannot be
 * read is left to the guest's thread, which says what is wrong with it.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { buildFrameStack } from "../instrument/frame-stack.js";
import { findHintRoom } from "../wasm/compilation-hints.js";
import { type CachedForm, FormCache } from "./form-cache.js";
import { formFor, nameOfForm, USUAL_MODE } from "./forms.js";
import { contentHash } from "./image/content-hash.js";
import { currentSlot, type ImageHeader, MAX_MODULE_BYTES, SLOTS_BYTE_LENGTH } from "./image/header.js";
import { HEADER_NAME, MODULE_NAME } from "./image/names.js";
import { isResumable, type KnownModule } from "./image/reading.js";
import { ModuleCache } from "./module-cache.js";
import type { PrepareOrder } from "./protocol.js";
import { SeenModule } from "./seen-module.js";
import type { Beginning } from "./start-profile.js";

export interface ReadAhead {
  /** The program's own bytes. */
  readonly module: Uint8Array;
  /** Of them: see contentHash. */
  readonly hash: string;
  /** See ModuleCache.existingCopy. */
  readonly copy: string | undefined;
  /** Compiled. */
  readonly frameStack: WebAssembly.Module;
}

/** The form that a program is needed in, as the cache has it, which this engine has found valid. */
export interface FormAhead {
  /** Of the program; most likely of the one that is wanted. */
  readonly hash: string;
  readonly mode: string;
  readonly content: CachedForm;
  /** Undefined: it has no room for hints. */
  readonly importedFunctions: number | undefined;
  readonly beginning: Beginning;
  /** Functions to be compiled at once; undefined: that is not known yet. */
  readonly needed: Uint32Array | undefined;
}

/** `onForm`: told at once; again, if the program turns out to be another one. Undefined: the program is not in a file, or could not be read. */
export function readAhead(order: PrepareOrder, onForm: (form: FormAhead) => void): ReadAhead | undefined {
  if (order.kind === "create" && order.moduleBytes !== undefined) return undefined;
  try {
    const { cacheDirectory } = order;
    const header = headerOf(order.image);
    const tell = (hash: string): void => {
      const form = formOf(order, header, hash);
      if (form !== undefined) onForm(form);
    };
    const seen =
      order.kind === "create" && cacheDirectory !== undefined
        ? new SeenModule(cacheDirectory, order.command.module)
        : undefined;
    const guess = order.kind === "open" ? header?.moduleSha256 : seen?.hash;
    if (guess !== undefined) tell(guess);
    const module = moduleOf(order);
    const hash = contentHash(module);
    if (hash !== guess) {
      tell(hash);
      if (module.length > LARGE) seen?.remember(hash);
    }
    const cache = cacheDirectory === undefined ? undefined : new ModuleCache(cacheDirectory, module);
    const copy = order.kind === "create" ? cache?.existingCopy() : undefined;
    return { module, hash, copy, frameStack: new WebAssembly.Module(buildFrameStack()) };
  } catch {
    return undefined;
  }
}

/** To be handed over, not copied. Small files lie in buffers that Node shares among them. */
export function transferable(...parts: readonly Uint8Array[]): ArrayBuffer[] {
  const buffers = parts.map(({ buffer }) => buffer);
  return buffers.filter((buffer): buffer is ArrayBuffer => buffer instanceof ArrayBuffer && buffer.byteLength > LARGE);
}

/** In bytes: more than any pool of Node's has, and enough to take time. */
const LARGE = 1 << 20;

function formOf(order: PrepareOrder, header: ImageHeader | undefined, hash: string): FormAhead | undefined {
  if (order.cacheDirectory === undefined) return undefined;
  const cache = new FormCache(order.cacheDirectory, hash);
  const mode = nameOfForm(formFor(order.exact ? "exact" : USUAL_MODE));
  const content = cache.readForm(mode);
  if (content?.isValid !== true) return undefined;
  const beginning = beginningOf(order, header);
  const importedFunctions = findHintRoom(content.bytes)?.importedFunctions;
  return { hash, mode, content, importedFunctions, beginning, needed: cache.readProfile(mode, beginning).needed };
}

/** Most likely: what an image of an unfinished program lacks is not looked at. */
function beginningOf(order: PrepareOrder, header: ImageHeader | undefined): Beginning {
  if (order.kind === "open") return "resume";
  return order.ifUnfinished !== "replace" && header !== undefined && isResumable(header) ? "resume" : "start";
}

/** Undefined: there is no image, or not a good one. */
function headerOf(image: string): ImageHeader | undefined {
  const path = join(image, HEADER_NAME);
  try {
    return currentSlot(readPlainFile(path, constants.O_NOFOLLOW, SLOTS_BYTE_LENGTH), path).header;
  } catch {
    return undefined;
  }
}

function moduleOf(order: PrepareOrder): Uint8Array {
  if (order.kind === "create") return readPlainFile(order.command.module, 0);
  return readImageModule(order.image);
}

/** The module of an image that is not open. Undefined: it could not be read. */
export function readModuleAhead(image: string): KnownModule | undefined {
  try {
    const module = readImageModule(image);
    return { module, hash: contentHash(module) };
  } catch {
    return undefined;
  }
}

function readImageModule(image: string): Uint8Array {
  return readPlainFile(join(image, MODULE_NAME), constants.O_NOFOLLOW);
}

/** All of it, or its beginning. Nothing else: a pipe has its bytes only once. */
function readPlainFile(path: string, flags: number, byteLength?: number): Uint8Array {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile() || stat.size > MAX_MODULE_BYTES) throw new Error("not to be read ahead");
    if (byteLength === undefined) return readFileSync(descriptor);
    const bytes = Buffer.alloc(byteLength);
    return bytes.subarray(0, readSync(descriptor, bytes));
  } finally {
    closeSync(descriptor);
  }
}
