import { basename } from "node:path";
import type { Command } from "commander";
import { Process } from "../index.js";
import { addGuestOptions, failurePlan, type GuestOptions, savingSignals } from "./guest-options.js";
import type { Messages } from "./messages.js";
import { Progress } from "./progress.js";
import { runToEnd } from "./run-to-end.js";

export function defineResume(command: Command, messages: Messages, finish: (status: number) => void): void {
  command.description("go on with a saved process").argument("<image>", "its image directory");
  addGuestOptions(command).action(async (image: string, options: GuestOptions) => {
    messages.configure(options);
    const progress = new Progress(messages, basename(image));
    const resumed = await Process.open(image, {
      preopens: options.dir,
      onChangedFile: options.onChangedFile,
      saveOn: savingSignals(options),
      failure: failurePlan(options),
      eintr: options.eintr,
      onNotice: (message) => messages.news("notice", message),
      onInstrument: (byteLength) => progress.instrumenting(byteLength),
    });
    progress.done();
    finish(await runToEnd(resumed, messages));
  });
}
