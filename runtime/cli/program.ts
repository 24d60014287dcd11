/** The program behind main.ts. */
import { setFlagsFromString } from "node:v8";
import { Process } from "../index.js";
import type { End } from "../process/code-cache.js";
import { ENGINE_FLAGS } from "../process/engine-flags.js";
import type { GuestThread } from "../process/guest-thread.js";
import { EXIT } from "./status.js";

/** `keepCode` keeps the code of this program, at its end. `thread`: of the guest, if the command runs one. */
export async function runProgram(
  argv: readonly string[],
  keepCode: (end: End) => void,
  thread: GuestThread | undefined,
): Promise<never> {
  if (thread !== undefined) Process.useThread(thread);
  else if (argv[2] === "replay") ENGINE_FLAGS.forEach(setFlagsFromString);
  const { runCommandLine } = await import("./command-line.js");
  const status = await runCommandLine(argv);
  keepCode(status === EXIT.powerFailure ? "saved" : "over");
  return Process.exit(status);
}
