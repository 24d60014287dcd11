import { closeSync, ftruncateSync, writeSync } from "node:fs";
import { VermilionError } from "./error.js";
import { libc, MAP, PROT } from "./libc.js";
import { type AddressOwner, WASM_PAGE_BYTE_LENGTH } from "./memory-backing.js";
import { reservedByteLength } from "./reservation.js";

const ZERO = new Uint8Array(4);

/**
 * A word in a page of a file, mapped into the range of addresses that the engine reserved for a memory and that no access
 * of the memory's own reaches. Whoever has the descriptor sets it with a plain write to the file's beginning, from any
 * thread; the code that loads it sees that within microseconds.
 *
 * The mapping lives as long as the memory: V8 gives the whole range back when it collects that.
 *
 * OUT_OF_MEMORY, TOO_MANY_OPEN_FILES: the system says so.
 *
 * @param distance bytes from the memory's beginning to the page, a multiple of 65536.
 * @returns the descriptor, the caller's to close; undefined: the engine has not reserved so much.
 */
export function mapSharedWord({ buffer }: AddressOwner, distance: number): number | undefined {
  const address = libc().addressOf(new Uint8Array(buffer));
  const end = distance + WASM_PAGE_BYTE_LENGTH;
  if (reservedByteLength(address, buffer.byteLength, end) < end) return undefined;
  const descriptor = libc().createMemoryFile();
  if (descriptor < 0) {
    throw new VermilionError(
      "TOO_MANY_OPEN_FILES",
      `cannot create a memory file (errno ${-descriptor}); raise ulimit -n`,
    );
  }
  ftruncateSync(descriptor, WASM_PAGE_BYTE_LENGTH);
  const errno = libc().mapFixed(address + distance, WASM_PAGE_BYTE_LENGTH, PROT.READ, MAP.SHARED, descriptor, 0);
  if (errno === 0) return descriptor;
  closeSync(descriptor);
  throw new VermilionError("OUT_OF_MEMORY", `cannot map the memory's flag (errno ${errno}); raise vm.max_map_count`);
}

/** Makes the word zero. */
export function clearSharedWord(descriptor: number): void {
  writeSync(descriptor, ZERO, 0, ZERO.length, 0);
}
