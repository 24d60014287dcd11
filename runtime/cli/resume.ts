import { basename } from "node:path";
import type { Command } from "commander";
import { type OpenOptions, Process } from "../index.js";
import { engineOptions, onlySettings, type Setting, settings, systemOptions } from "./engine-options.js";
import { epochNumber } from "./epoch-argument.js";
import {
  addGuestOptions,
  failurePlan,
  type GuestOptions,
  holdup,
  logOptions,
  persistEvery,
  persistingSignals,
  savingSignals,
} from "./guest-options.js";
import { keepPolicy } from "./keep-options.js";
import type { Messages } from "./messages.js";
import { Progress } from "./progress.js";
import { checkReplication, startReplication } from "./replicate.js";
import { runToEnd } from "./run-to-end.js";

export interface ResumeOptions extends GuestOptions {
  readonly S?: readonly Setting[];
  readonly W?: readonly Setting[];
  readonly at?: number;
}

export function defineResume(command: Command, messages: Messages, finish: (status: number) => void): void {
  command
    .description("go on with a saved process")
    .argument("<image>", "its image directory")
    .option("--at <epoch>", "go back to an epoch of its history, and on from there", epochNumber)
    .option("-S <key=value>", "system interface: tcplisten=ADDRESS:PORT, granted again; repeatable", settings)
    .option("-W <key=value>", "limits: timeout=10s", settings);
  addGuestOptions(command).action(async (image: string, options: ResumeOptions) => {
    checkReplication(options);
    const progress = new Progress(messages, basename(image));
    const resumed = await Process.open(image, {
      ...openOptions(options),
      endsProgram: options.imports === undefined,
      onNotice: (message) => messages.news("notice", message),
      onInstrument: (byteLength) => progress.instrumenting(byteLength),
      onReplay: (calls, share) => progress.replaying(calls, share),
    });
    progress.done();
    startReplication(resumed.image, options);
    finish(await runToEnd(resumed, messages, () => resumed.run()));
  });
}

export function openOptions(options: ResumeOptions): OpenOptions {
  onlySettings("-S", options.S ?? [], "tcplisten");
  onlySettings("-W", options.W ?? [], "timeout");
  return {
    at: options.at,
    keep: keepPolicy(options),
    preopens: options.dir,
    imports: options.imports,
    listen: systemOptions(options.S ?? []).listen,
    timeLimitMilliseconds: engineOptions(options.W ?? []).timeLimitMilliseconds,
    onChangedFile: options.onChangedFile,
    saveOn: savingSignals(options),
    persistOn: persistingSignals(),
    persistEvery: persistEvery(options),
    log: logOptions(options),
    replay: options.replay,
    failure: failurePlan(options),
    eintr: options.eintr,
    holdup: holdup(options),
  };
}
