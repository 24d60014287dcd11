import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect } from "vitest";
import type { PointFacts } from "../../../runtime/process/image/epoch-writing.js";
import { Image } from "../../../runtime/process/image/image.js";
import type { ImageState } from "../../../runtime/process/image/state-file.js";

export const PAGE = 65_536;
export const VERSION = { instrumenterVersion: 7 } as const;
export const MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 2, 3]);
export const COMMAND = { args: ["app", "--flag"], env: [["A", "ä"]], process: "one" };

/** What the history is told; nothing here depends on it. */
export const FACTS: PointFacts = { why: "failure", hostCalls: 7, keptFiles: [] };

/** A directory for one test, gone after it. */
export function scratchDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "vermilion-image-"));
  toRemove.push(path);
  return path;
}
const toRemove: string[] = [];
afterEach(() => {
  for (const path of toRemove.splice(0)) rmSync(path, { recursive: true, force: true });
});

/** Different in every section for every generation; odd lengths, an empty section. */
export function stateOf(generation: number, byteLength = 333): ImageState {
  const bytes = (length: number, salt: number) => Uint8Array.from({ length }, (_, i) => i * salt + generation * 31);
  return {
    machine: {
      globals: bytes(13, 3),
      tables: bytes(8, 5),
      segments: new Uint8Array(0),
      stacks: bytes(byteLength, 7),
    },
    wasi: { generation, clock: "12345678901234567890", text: "ü" },
    process: null,
  };
}

/** A saved image, epoch 1, two memories of which the first begins with 42; closed. */
export function createSaved(path: string, state = stateOf(1), inPlace = false): void {
  const image = Image.create(path, { moduleBytes: MODULE, command: COMMAND, inPlace, ...VERSION });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 2 });
  const backing = image.createMemory();
  backing.grow(PAGE);
  backing.attach(memory, 2 * PAGE);
  image.createMemory();
  image.markRunning();
  new Uint8Array(memory.buffer)[0] = 42;
  image.commit(state, FACTS);
  image.close();
}

export const errorCode = (code: string) => expect.objectContaining({ name: "VermilionError", code });

/** What `action` throws; fails the test if it throws nothing. */
export function thrownBy(action: () => unknown): Error & { readonly code?: string } {
  try {
    action();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was thrown");
}

/** A new memory with the saved bytes of one, which must have that many pages of 64 KiB. */
export function savedBytes(image: Image, index: number, pages: number, maximum = 100): Uint8Array {
  const memory = new WebAssembly.Memory({ initial: pages, maximum });
  image.memories[index]?.attach(memory, maximum * PAGE);
  return new Uint8Array(memory.buffer);
}
