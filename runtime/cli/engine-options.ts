/** `-S` and `-W`, as wasmtime has them: `key`, `key=value`; only what has a meaning here is taken. */
import { VermilionError } from "../index.js";

export interface Setting {
  readonly key: string;
  readonly value: string | undefined;
}

export function setting(text: string): Setting {
  const split = text.indexOf("=");
  return split < 0 ? { key: text, value: undefined } : { key: text.slice(0, split), value: text.slice(split + 1) };
}

export function systemOptions(settings: readonly Setting[]): { readonly inheritEnvironment: boolean } {
  let inheritEnvironment = false;
  for (const each of settings) {
    if (each.key === "inherit-env") inheritEnvironment = flag("-S", each);
    else if (each.key === "cli" || each.key === "common" || each.key === "preview2") flag("-S", each);
    else throw unknown("-S", each, "inherit-env");
  }
  return { inheritEnvironment };
}

/** Proposals that the engine always has: switching them on is allowed and changes nothing. */
const ALWAYS_ON = new Set([
  "bulk-memory",
  "exceptions",
  "extended-const",
  "gc",
  "legacy-exceptions",
  "multi-memory",
  "multi-value",
  "reference-types",
  "relaxed-simd",
  "simd",
  "tail-call",
]);

export function engineOptions(settings: readonly Setting[]): { readonly maxMemoryByteLength: number | undefined } {
  let maxMemoryByteLength: number | undefined;
  for (const each of settings) {
    if (each.key === "max-memory-size") maxMemoryByteLength = byteLength("-W", each);
    else if (!ALWAYS_ON.has(each.key)) throw unknown("-W", each, "max-memory-size=BYTES");
    else if (!flag("-W", each)) throw usage(`-W ${each.key}: the engine cannot do without it`);
  }
  return { maxMemoryByteLength };
}

function flag(option: string, { key, value }: Setting): boolean {
  if (value === undefined || value === "y" || value === "yes" || value === "true") return true;
  if (value === "n" || value === "no" || value === "false") return false;
  throw usage(`${option} ${key}=${value}: it is y or n`);
}

const SUFFIXES: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

function byteLength(option: string, { key, value = "" }: Setting): number {
  const [, digits, suffix] = /^([0-9]+)([kmg]?)(?:i?b)?$/i.exec(value) ?? [];
  const bytes = Number(digits) * (SUFFIXES[(suffix ?? "").toLowerCase()] ?? Number.NaN);
  if (!Number.isSafeInteger(bytes)) throw usage(`${option} ${key}: it is a number of bytes, as 67108864 or 64m`);
  return bytes;
}

function unknown(option: string, { key }: Setting, known: string): VermilionError {
  return usage(`${option} ${key}: there is no such setting; there is ${known}`);
}

function usage(message: string): VermilionError {
  return new VermilionError("USAGE", message);
}
