import { type Command, InvalidArgumentError } from "commander";
import { type Followed, frameText, Process } from "../index.js";
import { descriptorLine, frameLines, trapFrameText } from "./inspect.js";
import { print } from "./listing.js";
import type { Messages } from "./messages.js";

interface ReplayOptions {
  readonly toCall?: number;
  readonly json?: boolean;
}

export function defineReplay(command: Command, messages: Messages): void {
  command
    .description("follow the log of a run that was killed or trapped, and show where the program was; changes nothing")
    .argument("<image>", "the image directory")
    .option("--to-call <n>", "stop behind the nth host call of the log", callNumber)
    .option("--until <trap>", "follow it to its end, where the program trapped; the default", trap)
    .option("--json", "print JSON")
    .action(async (image: string, options: ReplayOptions) => {
      const onNotice = (message: string) => messages.news("notice", message);
      const followed = await Process.follow(image, { toCall: options.toCall, onNotice });
      print(options.json === true ? JSON.stringify(followed, undefined, 2) : describe(followed));
    });
}

function describe({ stopped, calls, next, trap, frames, descriptors }: Followed): string {
  const where = {
    call: `stopped in front of ${next}`,
    end: next === null ? "the log ends, and the program with it" : `the log ends; the next call is ${next}`,
    trap: `trapped: ${trap}`,
  }[stopped];
  return [
    `host calls   ${calls}, ${where}`,
    ...(frames.length === 0 ? [] : [`frames       ${frames.length}, innermost first`]),
    ...frameLines(frames, stopped === "trap" ? trapFrameText : frameText),
    ...(descriptors.length === 0 ? [] : ["descriptors", ...descriptors.map(descriptorLine)]),
  ].join("\n");
}

function callNumber(text: string): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("It is a whole number.");
}

function trap(text: string): "trap" {
  if (text === "trap") return text;
  throw new InvalidArgumentError("It is 'trap'.");
}
