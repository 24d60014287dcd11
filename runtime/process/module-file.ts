import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { attempt, VermilionError } from "../../pmem/error.js";
import { MAX_MODULE_BYTES } from "./image/header.js";

const MAGIC = Uint8Array.of(0, 0x61, 0x73, 0x6d);

/**
 * A program's bytes, from a file or a pipe. Of what is no module only the beginning is read, for devices have no end; what is
 * wrong with it is said by whoever decodes it. NOT_FOUND, NOT_A_FILE, PERMISSION_DENIED and so on; MODULE_INVALID: too long.
 */
export function readModuleFile(path: string): Uint8Array {
  return attempt("read the module", path, () => {
    const descriptor = openSync(path, "r");
    try {
      const stat = fstatSync(descriptor);
      if (stat.size > MAX_MODULE_BYTES) throw tooLong(path, stat.size);
      return stat.isFile() ? readFileSync(descriptor) : readStream(descriptor, path);
    } finally {
      closeSync(descriptor);
    }
  });
}

function readStream(descriptor: number, path: string): Uint8Array {
  let bytes = Buffer.alloc(1 << 20);
  for (let byteLength = 0; ; ) {
    const count = readSync(descriptor, bytes, byteLength, bytes.length - byteLength, null);
    byteLength += count;
    if (byteLength > MAX_MODULE_BYTES) throw tooLong(path, byteLength);
    const isNone = byteLength >= MAGIC.length && !bytes.subarray(0, MAGIC.length).equals(MAGIC);
    if (count === 0 || isNone) return bytes.subarray(0, byteLength);
    if (byteLength === bytes.length) bytes = Buffer.concat([bytes], 2 * byteLength);
  }
}

function tooLong(path: string, byteLength: number): VermilionError {
  return new VermilionError(
    "MODULE_INVALID",
    `${path}: it has ${byteLength} bytes, and a module at most ${MAX_MODULE_BYTES}; check the path`,
  );
}
