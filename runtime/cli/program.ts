/** The program behind main.ts. */
import { writeSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { Process } from "../index.js";
import type { End } from "../process/code-cache.js";
import { ENGINE_FLAGS } from "../process/engine-flags.js";
import type { GuestThread } from "../process/guest-thread.js";
import { EXIT } from "./status.js";

/** Node ends a program by itself, with status 0, once it waits for nothing that could still come: a promise of somebody's driver. */
function tellAbandoned(): void {
  const text =
    "vermilion: given up: a module of yours has promised an answer that can never come; nothing is confirmed\n";
  try {
    writeSync(2, text);
  } catch {} // nobody listens
  process.exitCode = EXIT.inputOutput;
}

/** `keepCode` keeps the code of this program, at its end. `thread`: of the guest, if the command runs one. */
export async function runProgram(
  argv: readonly string[],
  keepCode: (end: End) => void,
  thread: GuestThread | undefined,
): Promise<never> {
  if (thread !== undefined) Process.useThread(thread);
  else if (argv[2] === "replay") ENGINE_FLAGS.forEach(setFlagsFromString);
  process.once("beforeExit", tellAbandoned);
  const { runCommandLine } = await import("./command-line.js");
  const status = await runCommandLine(argv);
  keepCode(status === EXIT.powerFailure ? "saved" : "over");
  return Process.exit(status);
}
