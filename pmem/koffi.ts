import { createRequire } from "node:module";

export type Koffi = typeof import("koffi");

/** Whose functions are used here. */
const MAJOR_VERSION = "3.";

/**
 * The FFI. Its own loader looks for the binary that fits, which takes 3 ms of each start; so the one for this machine and glibc is
 * tried first, which on another libc cannot be loaded. @throws what koffi throws.
 */
export function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url);
  const { arch, platform } = process;
  try {
    const binary: Koffi = require(`@koromix/koffi-${platform}-${arch}/${platform}_${arch}/koffi.node`);
    if (binary.version.startsWith(MAJOR_VERSION)) return binary;
  } catch {
    // Installed in another way, or for another libc.
  }
  return require("koffi");
}
