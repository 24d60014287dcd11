import type { VermilionError } from "./error.js";

/** The unit of a WebAssembly.Memory's length. */
export const WASM_PAGE_BYTE_LENGTH = 65_536;

/** What owns the addresses; a WebAssembly.Memory is one. Its buffer is read anew, because growth replaces it. */
export interface AddressOwner {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

/** What stands behind the bytes of a memory while it is used: a region, written in place, or a private memory. */
export interface MemoryBacking {
  /** Of the file, for messages. */
  readonly path: string;
  readonly byteLength: number;
  /** Of byte 0; never moves while attached. */
  readonly address: number;
  /** Why the last grow() returned false. */
  readonly growthRefusal: VermilionError | undefined;
  /** Puts the saved bytes under the owner, which must be as long; `reservedByteLength`: as long as it may become. */
  attach(owner: AddressOwner, reservedByteLength: number): void;
  /** Call before the owner grows. False: nothing changed. */
  grow(byteLength: number): boolean;
  /** The owner may not be used by a running guest any more. */
  close(): void;
}
