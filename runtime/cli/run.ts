import { basename } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { type CreateOptions, Process } from "../index.js";
import { engineOptions, type Setting, setting, systemOptions } from "./engine-options.js";
import { addGuestOptions, collect, failurePlan, type GuestOptions, savingSignals } from "./guest-options.js";
import type { Messages } from "./messages.js";
import { Progress } from "./progress.js";
import { runToEnd } from "./run-to-end.js";

interface RunCommandOptions extends GuestOptions {
  readonly env?: readonly (readonly [string, string | undefined])[];
  readonly argv0?: string;
  readonly invoke?: string;
  readonly image?: string;
  readonly fresh?: boolean;
  readonly inPlace?: boolean;
  readonly S?: readonly Setting[];
  readonly W?: readonly Setting[];
}

export function defineRun(command: Command, messages: Messages, finish: (status: number) => void): void {
  command
    .description("start a WASI program, or go on where it stopped")
    .argument("<module>", "the program: a .wasm file, or .wat text")
    .argument("[args...]", "everything after the module goes to the program")
    .passThroughOptions()
    .option("--image <dir>", "the image directory (default: .vermilion/<name>-<hash>)")
    .option("--fresh", "start over, and forget what was saved")
    .option("--in-place", "a new image's memory is written in place: faster saves, but a kill loses the run")
    .option(
      "--env <name[=value]>",
      "an environment variable, with its value here by default; repeatable",
      collect(variable),
    )
    .option("--argv0 <name>", "the program's own name for it")
    .option("--invoke <function>", "call this export, with the arguments as numbers, and print its results")
    .option("-S <key[=value]>", "system interface: inherit-env", collect(setting))
    .option("-W <key[=value]>", "engine: max-memory-size=BYTES", collect(setting));
  addGuestOptions(command).action(async (module: string, args: string[], options: RunCommandOptions) => {
    messages.configure(options);
    const progress = new Progress(messages, basename(module));
    const create = await createOptions(module, args, options);
    const started = await Process.create({
      ...create,
      onNotice: (message) => messages.news("notice", message),
      onInstrument: (byteLength) => progress.instrumenting(byteLength),
    });
    progress.done();
    finish(await runToEnd(started, messages));
  });
}

async function createOptions(
  module: string,
  args: readonly string[],
  options: RunCommandOptions,
): Promise<CreateOptions> {
  const { inheritEnvironment } = systemOptions(options.S ?? []);
  const { maxMemoryByteLength } = engineOptions(options.W ?? []);
  return {
    module,
    moduleBytes: module.endsWith(".wat") ? await assembleFile(module) : undefined,
    args: args[0] === "--" ? args.slice(1) : args,
    argv0: options.argv0,
    env: environment(inheritEnvironment, options.env ?? []),
    preopens: options.dir,
    invoke: options.invoke,
    maxMemoryByteLength,
    image: options.image,
    inPlace: options.inPlace,
    ifUnfinished: options.fresh === true ? "replace" : "resume",
    onChangedFile: options.onChangedFile,
    saveOn: savingSignals(options),
    failure: failurePlan(options),
    eintr: options.eintr,
  };
}

async function assembleFile(path: string): Promise<Uint8Array> {
  const { assemble } = await import("./wat.js");
  return assemble(path);
}

function variable(text: string): readonly [string, string | undefined] {
  const split = text.indexOf("=");
  if (split === 0 || text === "") throw new InvalidArgumentError("It is NAME or NAME=VALUE.");
  return split < 0 ? [text, undefined] : [text.slice(0, split), text.slice(split + 1)];
}

/** A name without a value takes the one it has here; nothing, if it has none. Later ones win. */
function environment(
  inherit: boolean,
  given: readonly (readonly [string, string | undefined])[],
): Readonly<Record<string, string>> {
  const result = new Map<string, string>();
  if (inherit) for (const [name, value = ""] of Object.entries(process.env)) result.set(name, value);
  for (const [name, value = process.env[name]] of given) if (value !== undefined) result.set(name, value);
  return Object.fromEntries(result);
}
