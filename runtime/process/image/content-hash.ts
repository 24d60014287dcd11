import { cryptography } from "../cryptography.js";

const known = new WeakMap<Uint8Array, string>();

/** What contentHash gives for these bytes, computed by somebody else. */
export function rememberHash(module: Uint8Array, hash: string): void {
  known.set(module, hash);
}

/** SHA-256 of a module, hexadecimal. Computed once for an array, whose bytes never change: large modules take a while. */
export function contentHash(module: Uint8Array): string {
  let hash = known.get(module);
  if (hash === undefined) {
    hash = cryptography().createHash("sha256").update(module).digest("hex");
    known.set(module, hash);
  }
  return hash;
}
