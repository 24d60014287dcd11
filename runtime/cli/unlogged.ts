import type { Process } from "../index.js";
import type { GuestOptions } from "./guest-options.js";
import type { Messages } from "./messages.js";

/** Options of a run are not kept: a process that was killed with a log and goes on without one is told from its next kill on. */
export function tellIfUnlogged(process: Process, options: GuestOptions, messages: Messages): void {
  const { log, persistEvery, persistEveryCalls } = options;
  const logged = log ?? (persistEvery !== undefined || persistEveryCalls !== undefined);
  const hadLog = (process.resumes?.loggedCalls ?? null) !== null;
  if (!hadLog || logged || log === false) return;
  messages.news(
    "unlogged",
    "this run keeps no log, as the one before did: give --persist-every or --log again, or --no-log if that is meant",
  );
}
