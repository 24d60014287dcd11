/** The options that say which process a module becomes; `run` and `call` share them. */
import { type Command, InvalidArgumentError } from "commander";
import type { CreateOptions } from "../index.js";
import { engineOptions, type Setting, settings, systemOptions } from "./engine-options.js";
import {
  collect,
  failurePlan,
  type GuestOptions,
  holdup,
  logOptions,
  persistEvery,
  persistingSignals,
  savingSignals,
} from "./guest-options.js";
import { keepPolicy } from "./keep-options.js";

export interface ProgramOptions extends GuestOptions {
  readonly env?: readonly (readonly [string, string | undefined])[];
  readonly argv0?: string;
  readonly image?: string;
  readonly fresh?: boolean;
  readonly inPlace?: boolean;
  readonly S?: readonly Setting[];
  readonly W?: readonly Setting[];
}

export function addProgramOptions(command: Command): Command {
  return command
    .option("--image <dir>", "the image directory (default: .vermilion/<name>-<hash>)", imageDirectory)
    .option("--fresh", "start over, and forget what was saved")
    .option("--in-place", "a new image's memory is written in place: faster saves, but a kill loses the run")
    .option(
      "--env <name[=value]>",
      "an environment variable, with its value here by default; repeatable",
      collect(variable),
    )
    .option("--argv0 <name>", "the program's own name for it")
    .option("-S <key[=value]>", "system interface: inherit-env, tcplisten=ADDRESS:PORT; repeatable", settings)
    .option("-W <key[=value]>", "limits: max-memory-size=BYTES, max-fds=N, timeout=10s; repeatable", settings);
}

export async function createOptions(module: string, options: ProgramOptions): Promise<CreateOptions> {
  const { inheritEnvironment, listen } = systemOptions(options.S ?? []);
  return {
    module,
    moduleBytes: module.endsWith(".wat") ? await assembleFile(module) : undefined,
    argv0: options.argv0,
    env: environment(inheritEnvironment, options.env ?? []),
    preopens: options.dir,
    imports: options.imports,
    listen,
    ...engineOptions(options.W ?? []),
    image: options.image,
    inPlace: options.inPlace,
    ifUnfinished: options.fresh === true ? "replace" : "resume",
    onChangedFile: options.onChangedFile,
    saveOn: savingSignals(options),
    persistOn: persistingSignals(),
    persistEvery: persistEvery(options),
    log: logOptions(options),
    replay: options.replay,
    keep: keepPolicy(options),
    failure: failurePlan(options),
    eintr: options.eintr,
    holdup: holdup(options),
  };
}

function imageDirectory(text: string): string {
  if (text === "") throw new InvalidArgumentError("It is a directory.");
  return text;
}

async function assembleFile(path: string): Promise<Uint8Array> {
  const { assemble } = await import("./wat.js");
  return assemble(path);
}

export function variable(text: string): readonly [string, string | undefined] {
  const split = text.indexOf("=");
  if (split === 0 || text === "") throw new InvalidArgumentError("It is NAME or NAME=VALUE.");
  return split < 0 ? [text, undefined] : [text.slice(0, split), text.slice(split + 1)];
}

/** A name without a value takes the one it has here; nothing, if it has none. Later ones win. */
export function environment(
  inherit: boolean,
  given: readonly (readonly [string, string | undefined])[],
): Readonly<Record<string, string>> {
  const result = new Map<string, string>();
  if (inherit) for (const [name, value = ""] of Object.entries(process.env)) result.set(name, value);
  for (const [name, value = process.env[name]] of given) if (value !== undefined) result.set(name, value);
  return Object.fromEntries(result);
}
