import { createRequire } from "node:module";

type Cryptography = typeof import("node:crypto");

let loaded: Cryptography | undefined;

/** Loaded when first needed: it takes 2 ms of a start, and few starts need it in both threads. */
export function cryptography(): Cryptography {
  loaded ??= createRequire(import.meta.url)("node:crypto") as Cryptography;
  return loaded;
}
