import { statSync } from "node:fs";
import { basename } from "node:path";
import type { Command } from "commander";
import { Process, VermilionError } from "../index.js";
import { addGuestOptions } from "./guest-options.js";
import type { Messages } from "./messages.js";
import { addProgramOptions, createOptions, type ProgramOptions } from "./program-options.js";
import { Progress } from "./progress.js";
import { checkReplication, startReplication } from "./replicate.js";
import { openOptions } from "./resume.js";
import { runToEnd } from "./run-to-end.js";

export function defineCall(command: Command, messages: Messages, finish: (status: number) => void): void {
  command
    .description("call a function of a persistent instance, which is kept between the calls")
    .argument("<image>", "its image directory; or a module, which the first call instantiates")
    .argument("<function>", "an exported function")
    .argument("[args...]", "numbers")
    .passThroughOptions();
  addProgramOptions(command);
  addGuestOptions(command).action(async (place: string, name: string, args: string[], options: ProgramOptions) => {
    checkReplication(options);
    const progress = new Progress(messages, basename(place));
    const events = {
      onNotice: (message: string) => messages.news("notice", message),
      onInstrument: (byteLength: number) => progress.instrumenting(byteLength),
    };
    const instance = isDirectory(place)
      ? await Process.open(place, { ...openOptions(onlyOpening(options)), ...events })
      : await Process.create({ ...(await createOptions(place, options)), instance: true, ...events });
    progress.done();
    startReplication(instance.image, options);
    const call = () => instance.call(name, args[0] === "--" ? args.slice(1) : args);
    finish(await runToEnd(instance, messages, call).finally(() => instance.close()));
  });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Options, by the names that they have in code. */
const OF_A_NEW_INSTANCE = { image: "image", fresh: "fresh", env: "env", argv0: "argv0", inPlace: "in-place" } as const;

/** What an instance is made of, it keeps. */
function onlyOpening(options: ProgramOptions): ProgramOptions {
  for (const [name, option] of Object.entries(OF_A_NEW_INSTANCE)) {
    if (options[name as keyof typeof OF_A_NEW_INSTANCE] === undefined) continue;
    throw new VermilionError(
      "USAGE",
      `--${option} goes with a module: an instance that is there already keeps what it has`,
    );
  }
  return options;
}
