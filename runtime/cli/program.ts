/**
 * The program behind main.ts. A guest's thread takes longest to start, so it starts first and boots while the rest is loaded
 * and the options are parsed.
 */
import { setFlagsFromString } from "node:v8";
import { Process } from "../index.js";
import type { End } from "../process/code-cache.js";
import { ENGINE_FLAGS } from "./engine-flags.js";
import { GUEST_COMMANDS } from "./guest-commands.js";
import { EXIT } from "./status.js";

/** `keepCode` keeps the code of this program, at its end. */
export async function runProgram(argv: readonly string[], keepCode: (end: End) => void): Promise<never> {
  const [, , command] = argv;
  if (command !== undefined && GUEST_COMMANDS.includes(command) && !argv.includes("--supervise"))
    Process.prepareThread({ promptMainThread: true, engineFlags: ENGINE_FLAGS, purpose: command }); // a supervisor runs no guest
  else if (command === "explore" || command === "replay") ENGINE_FLAGS.forEach(setFlagsFromString);
  const { runCommandLine } = await import("./command-line.js");
  const status = await runCommandLine(argv);
  keepCode(status === EXIT.powerFailure ? "saved" : "over");
  return Process.exit(status);
}
