/**
 * The program behind main.ts. A guest's thread takes longest to start, so it starts first and boots while the rest is loaded
 * and the options are parsed.
 */
import { setFlagsFromString } from "node:v8";
import { Process } from "../index.js";
import { ENGINE_FLAGS } from "./engine-flags.js";
import { GUEST_COMMANDS } from "./guest-commands.js";

/** `keepCode`: the code of this program is new, and to be kept for the engine's usual flags. */
export async function runProgram(argv: readonly string[], keepCode: (() => void) | undefined): Promise<never> {
  const [, , command] = argv;
  const engineFlags = keepCode === undefined ? ENGINE_FLAGS : [];
  if (command !== undefined && GUEST_COMMANDS.includes(command) && !argv.includes("--supervise"))
    Process.prepareThread({ engineFlags, purpose: command }); // a supervisor runs no guest
  else if (command === "explore" || command === "replay") engineFlags.forEach(setFlagsFromString);
  const { runCommandLine } = await import("./command-line.js");
  const status = await runCommandLine(argv);
  keepCode?.();
  return Process.exit(status);
}
