export function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  if (b === undefined || a.byteLength !== b.byteLength) return false;
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
}

/** What differs between a file and its copy, and means nothing to the guest. Files that were kept have random names. */
const INCIDENTAL: ReadonlySet<string> = new Set(["inode", "modified", "identity"]);

/** Two saved states of the system interface, over copies of the same files. */
export function sameWasiState(a: unknown, b: unknown): boolean {
  return textOf(a) === textOf(b);
}

function textOf(state: unknown): string {
  return JSON.stringify(state, (key, value: unknown) => (INCIDENTAL.has(key) ? undefined : value));
}
