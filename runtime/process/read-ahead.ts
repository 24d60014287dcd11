/**
 * What a guest's thread needs first, read and compiled by the main thread while that one boots: for a large program this takes as
 * long as the boot.
 *
 * Only what is right whoever does it, and nothing that the main thread would have to set the engine's flags for. What cannot be
 * read is left to the guest's thread, which says what is wrong with it.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildFrameStack } from "../instrument/frame-stack.js";
import { formFor, nameOfForm, USUAL_MODE } from "./forms.js";
import { contentHash } from "./image/content-hash.js";
import { MAX_MODULE_BYTES } from "./image/header.js";
import { MODULE_NAME } from "./image/names.js";
import { type CachedForm, ModuleCache } from "./module-cache.js";
import type { PrepareOrder } from "./protocol.js";

export interface ReadAhead {
  /** The program's own bytes. */
  readonly module: Uint8Array;
  /** Of them: see contentHash. */
  readonly hash: string;
  /** As the cache has it; undefined: it has none, or not this one. */
  readonly form: { readonly mode: string; readonly content: CachedForm } | undefined;
  /** See ModuleCache.existingCopy. */
  readonly copy: string | undefined;
  /** Compiled. */
  readonly frameStack: WebAssembly.Module;
}

/** Undefined: the program is not in a file, or could not be read. */
export function readAhead(order: PrepareOrder): ReadAhead | undefined {
  if (order.kind === "create" && order.moduleBytes !== undefined) return undefined;
  try {
    const module = moduleOf(order);
    const cache = order.cacheDirectory === undefined ? undefined : new ModuleCache(order.cacheDirectory, module);
    const mode = nameOfForm(formFor(order.exact ? "exact" : USUAL_MODE));
    const content = cache?.readForm(mode);
    return {
      module,
      hash: contentHash(module),
      form: content && { mode, content },
      copy: order.kind === "create" ? cache?.existingCopy() : undefined,
      frameStack: new WebAssembly.Module(buildFrameStack()),
    };
  } catch {
    return undefined;
  }
}

/** To be handed over, not copied. Small files lie in buffers that Node shares among them. */
export function transferable({ module, form }: ReadAhead): ArrayBuffer[] {
  const buffers = [module, ...(form === undefined ? [] : [form.content.bytes])].map(({ buffer }) => buffer);
  return buffers.filter((buffer): buffer is ArrayBuffer => buffer instanceof ArrayBuffer && buffer.byteLength > LARGE);
}

/** In bytes: more than any pool of Node's has. */
const LARGE = 1 << 20;

function moduleOf(order: PrepareOrder): Uint8Array {
  if (order.kind === "create") return readPlainFile(order.command.module, 0);
  return readPlainFile(join(order.image, MODULE_NAME), constants.O_NOFOLLOW);
}

/** Nothing else: a pipe has its bytes only once. */
function readPlainFile(path: string, flags: number): Uint8Array {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile() || stat.size > MAX_MODULE_BYTES) throw new Error("not to be read ahead");
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
