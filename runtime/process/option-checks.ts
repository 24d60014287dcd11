/** Options of the library that no type can tell apart: the command line checks its own, with texts of its own. */
import { constants } from "node:os";
import { VermilionError } from "../../pmem/error.js";
import type { CreateOptions, ProcessOptions, RunOptions } from "./process-options.js";
import type { SignalName } from "./signals.js";

function check(isRight: boolean, option: string, value: unknown, wanted: string): void {
  if (isRight) return;
  const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
  throw new VermilionError("BAD_ARGUMENT", `${option}: ${shown} is not ${wanted}`);
}

function checkCount(option: string, value: number | undefined, least = 1): void {
  check(
    value === undefined || (Number.isSafeInteger(value) && value >= least),
    option,
    value,
    `a number from ${least}`,
  );
}

function checkText(option: string, text: string | undefined): void {
  check(text === undefined || !text.includes("\0"), option, text, "a text without null characters");
}

function checkSignals(option: string, names: readonly SignalName[] | undefined): void {
  for (const name of names ?? []) {
    const canBeCaught = name !== "SIGKILL" && name !== "SIGSTOP";
    check(canBeCaught && Object.hasOwn(constants.signals, name), option, name, "a signal that can be caught");
  }
}

/** BAD_ARGUMENT. */
export function checkRunOptions({ failure, keep, timeLimitMilliseconds: limit }: RunOptions): void {
  check(limit === undefined || limit > 0, "timeLimitMilliseconds", limit, "a time");
  checkCount("keep.epochs", keep?.epochs);
  const age = keep?.milliseconds ?? 0;
  check(age >= 0, "keep.milliseconds", age, "a time");
  const { atSafepoint, afterMilliseconds: after, rate } = failure ?? {};
  checkCount("failure.atSafepoint", atSafepoint);
  check(after === undefined || after >= 0, "failure.afterMilliseconds", after, "a time");
  const probability = rate?.probability ?? 0;
  check(probability >= 0 && probability <= 1, "failure.rate.probability", probability, "between 0 and 1");
}

/** BAD_ARGUMENT. */
export function checkProcessOptions(options: ProcessOptions): void {
  const { stdio, saveOn, persistOn } = options;
  checkRunOptions(options);
  checkSignals("saveOn", saveOn);
  checkSignals("persistOn", persistOn);
  for (const descriptor of stdio ?? []) {
    check(Number.isSafeInteger(descriptor) && descriptor >= -1, "stdio", descriptor, "a descriptor, or -1 for none");
  }
}

/** BAD_ARGUMENT. */
export function checkCreateOptions(options: CreateOptions): void {
  const { module, image, argv0, args, env, preopens, maximumDescriptors, maxMemoryByteLength } = options;
  checkProcessOptions(options);
  for (const [option, text] of Object.entries({ module, image, argv0 })) checkText(option, text);
  for (const text of args ?? []) checkText("args", text);
  for (const [name, value] of Object.entries(env ?? {})) {
    check(name !== "" && !/[=\0]/.test(name), "env", name, "the name of a variable");
    checkText(`env.${name}`, value);
  }
  for (const { host, guest } of preopens ?? []) for (const text of [host, guest]) checkText("preopens", text);
  checkCount("maximumDescriptors", maximumDescriptors);
  checkCount("maxMemoryByteLength", maxMemoryByteLength, 0);
}
