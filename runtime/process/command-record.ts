import { readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { VermilionError } from "../../pmem/error.js";
import type { Command, Preopen } from "./command.js";
import { cryptography } from "./cryptography.js";

/** The command of an image, which may come from anybody. IMAGE_DAMAGED: it is none. */
export function parseCommand(value: unknown, path: string): Command {
  const refuse = (what: string): never => {
    throw new VermilionError(
      "IMAGE_DAMAGED",
      `${path}: its command record has no valid ${what}; start again with --fresh`,
    );
  };
  const fields: Readonly<Record<string, unknown>> = isObject(value) ? value : {};
  const { module, args, env, preopens, invoke, maxMemoryByteLength } = fields;
  const { listen = [], instance = false, maximumDescriptors = null } = fields; // absent in early images
  if (!isText(module)) return refuse("module");
  if (!Array.isArray(args) || args.length === 0 || !args.every(isText)) return refuse("arguments");
  if (!Array.isArray(env) || !env.every(isPair)) return refuse("environment");
  if (!Array.isArray(preopens) || !preopens.every(isPreopen)) return refuse("directories");
  if (!Array.isArray(listen) || !listen.every(isText)) return refuse("listening addresses");
  if (typeof instance !== "boolean") return refuse("kind of process");
  if (invoke !== null && !isText(invoke)) return refuse("function");
  if (maxMemoryByteLength !== null && !isLimit(maxMemoryByteLength)) return refuse("memory limit");
  if (maximumDescriptors !== null && !isLimit(maximumDescriptors)) return refuse("descriptor limit");
  return { module, args, env, preopens, listen, instance, invoke, maxMemoryByteLength, maximumDescriptors };
}

/** Tells a process from all others: random, part of a new image's command record, and of its forks' and pulled copies'. */
export function newProcessIdentity(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/uuid", "ascii").trim(); // without the 2 ms that Node's cryptography takes to load
  } catch {
    return cryptography().randomUUID();
  }
}

/** Undefined: an early image's record, or none. */
export function processIdentity(record: unknown): string | undefined {
  return isObject(record) && isText(record["process"]) ? record["process"] : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** A NUL would end the text early wherever the system reads it. */
function isText(value: unknown): value is string {
  return typeof value === "string" && !value.includes("\0");
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every(isText);
}

function isPreopen(value: unknown): value is Preopen {
  return isObject(value) && isText(value["host"]) && isAbsolute(value["host"]) && isText(value["guest"]);
}

function isLimit(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
