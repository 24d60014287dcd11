import { basename } from "node:path";
import type { Command } from "commander";
import { type CreateOptions, Process } from "../index.js";
import { addGuestOptions } from "./guest-options.js";
import type { Messages } from "./messages.js";
import { addProgramOptions, createOptions, type ProgramOptions } from "./program-options.js";
import { Progress } from "./progress.js";
import { checkReplication, startReplication } from "./replicate.js";
import { runToEnd } from "./run-to-end.js";
import { addSuperviseOptions, checkSupervision, type SuperviseOptions, supervise } from "./supervise.js";

interface RunCommandOptions extends ProgramOptions, SuperviseOptions {
  readonly invoke?: string;
}

export function defineRun(command: Command, messages: Messages, finish: (status: number) => void): void {
  command
    .description("start a WASI program, or go on where it stopped")
    .argument("<module>", "the program: a .wasm file, or .wat text")
    .argument("[args...]", "everything after the module goes to the program")
    .passThroughOptions();
  addProgramOptions(command).option(
    "--invoke <function>",
    "call this export, with the arguments as numbers, and print its results",
  );
  addSuperviseOptions(command);
  addGuestOptions(command).action(async (module: string, args: string[], options: RunCommandOptions) => {
    checkReplication(options);
    checkSupervision(options);
    const program: CreateOptions = {
      ...(await createOptions(module, options)),
      args: args[0] === "--" ? args.slice(1) : args,
      invoke: options.invoke,
    };
    if (options.supervise === true) {
      return finish(await supervise(process.argv, Process.imageOf(program), options, messages));
    }
    const progress = new Progress(messages, basename(module));
    const started = await Process.create({
      ...program,
      endsProgram: options.imports === undefined, // else what they print may still be on its way
      onNotice: (message) => messages.news("notice", message),
      onInstrument: (byteLength) => progress.instrumenting(byteLength),
      onReplay: (calls, share) => progress.replaying(calls, share),
    });
    progress.done();
    startReplication(started.image, options);
    finish(await runToEnd(started, messages, () => started.run()));
  });
}
