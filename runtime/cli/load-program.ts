/** Loads program.ts, from the bundle beside this one, as the engine compiled it in an earlier run. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { CachedBundle, codeCachePath } from "../process/code-cache.js";
import type { GuestThread } from "../process/guest-thread.js";
import { GUEST_COMMANDS } from "./guest-commands.js";
import type { runProgram } from "./program.js";

export function loadProgram(thread: GuestThread | undefined): void {
  const path = fileURLToPath(new URL("../cli/program.cjs", import.meta.url));
  // Commands that run a guest need other functions than the rest.
  const purpose = GUEST_COMMANDS.find((name) => name === process.argv[2]) ?? "other";
  const bundle = new CachedBundle(path, codeCachePath(`command-${purpose}`, process.execArgv));
  const module: { exports: { runProgram?: typeof runProgram } } = { exports: {} };
  bundle.run(module, createRequire(path));
  void module.exports.runProgram?.(process.argv, (end) => bundle.keep(end), thread);
}
