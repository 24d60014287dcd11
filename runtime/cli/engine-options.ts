/** `-S` and `-W`, as wasmtime has them: `key`, `key=value`; only what has a meaning here is taken. */
import { VermilionError } from "../index.js";
import { DURATION_FORM, parseMilliseconds } from "./duration.js";

export interface Setting {
  readonly key: string;
  readonly value: string | undefined;
}

/** A repeatable option, each time one setting or several with commas between them. */
export function settings(text: string, previous: readonly Setting[] = []): readonly Setting[] {
  return [...previous, ...text.split(",").map(setting)];
}

function setting(text: string): Setting {
  const split = text.indexOf("=");
  return split < 0 ? { key: text, value: undefined } : { key: text.slice(0, split), value: text.slice(split + 1) };
}

/** A saved process keeps its settings; only those that say what it is given here and now can be given again. */
export function onlySettings(option: string, given: readonly Setting[], key: string): void {
  for (const each of given) {
    if (each.key !== key)
      throw usage(`${option} ${each.key}: a saved process keeps it; only ${key} can be given again`);
  }
}

interface SystemOptions {
  readonly inheritEnvironment: boolean;
  /** Undefined: none was named. */
  readonly listen: readonly string[] | undefined;
}

export function systemOptions(settings: readonly Setting[]): SystemOptions {
  let inheritEnvironment = false;
  let listen: readonly string[] | undefined;
  for (const each of settings) {
    if (each.key === "inherit-env") inheritEnvironment = flag("-S", each);
    else if (each.key === "tcplisten") listen = [...(listen ?? []), address("-S", each)];
    else if (each.key === "cli" || each.key === "common" || each.key === "preview2") flag("-S", each);
    else throw unknown("-S", each, "inherit-env and tcplisten=ADDRESS:PORT");
  }
  return { inheritEnvironment, listen };
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

interface EngineOptions {
  readonly maxMemoryByteLength: number | undefined;
  readonly maximumDescriptors: number | undefined;
  readonly timeLimitMilliseconds: number | undefined;
}

export function engineOptions(settings: readonly Setting[]): EngineOptions {
  let maxMemoryByteLength: number | undefined;
  let maximumDescriptors: number | undefined;
  let timeLimitMilliseconds: number | undefined;
  for (const each of settings) {
    if (each.key === "max-memory-size") maxMemoryByteLength = byteLength("-W", each);
    else if (each.key === "max-fds") maximumDescriptors = descriptorCount("-W", each);
    else if (each.key === "timeout") timeLimitMilliseconds = duration("-W", each);
    else if (!ALWAYS_ON.has(each.key)) throw unknown("-W", each, "max-memory-size=BYTES, max-fds=N and timeout=TIME");
    else if (!flag("-W", each)) throw usage(`-W ${each.key}: the engine cannot do without it`);
  }
  return { maxMemoryByteLength, maximumDescriptors, timeLimitMilliseconds };
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

/** Three are open when a program begins. */
function descriptorCount(option: string, { key, value = "" }: Setting): number {
  const count = Number(value);
  if (!/^[0-9]+$/.test(value) || !Number.isSafeInteger(count) || count < 3) {
    throw usage(`${option} ${key}: it is a whole number from 3`);
  }
  return count;
}

/** A number without a unit is seconds, as wasmtime has it. */
function duration(option: string, { key, value = "" }: Setting): number {
  const milliseconds = parseMilliseconds(/^[0-9]+$/.test(value) ? `${value}s` : value);
  if (milliseconds === undefined) throw usage(`${option} ${key}: it is seconds, or ${DURATION_FORM}`);
  if (milliseconds === 0)
    throw usage(`${option} ${key}: it is longer than nothing, or the program never gets anywhere`);
  return milliseconds;
}

/** Its form is looked at by whoever listens. */
function address(option: string, { key, value = "" }: Setting): string {
  if (value === "") throw usage(`${option} ${key}: it is an address and a port, as 127.0.0.1:8080`);
  return value;
}

function unknown(option: string, { key }: Setting, known: string): VermilionError {
  return usage(`${option} ${key}: there is no such setting; there is ${known}`);
}

function usage(message: string): VermilionError {
  return new VermilionError("USAGE", message);
}
