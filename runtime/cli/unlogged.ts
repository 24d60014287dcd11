import type { Outcome, Process } from "../index.js";
import { type GuestOptions, logOptions, persistEvery } from "./guest-options.js";
import type { Messages } from "./messages.js";

/**
 * Runs it. Options of a run are not kept: one that goes on behind a log, and whose options say nothing of points or a log, is told
 * that it has none.
 */
export function runPerhapsUnlogged(process: Process, options: GuestOptions, messages: Messages): Promise<Outcome> {
  const { milliseconds, hostCalls } = persistEvery(options);
  const saysNothing = logOptions(options) === undefined && milliseconds === undefined && hostCalls === undefined;
  if (saysNothing && typeof process.resumes?.loggedCalls === "number") {
    messages.news(
      "unlogged",
      "this run keeps no log, as the one before did: give --persist-every or --log again, or --no-log if that is meant",
    );
  }
  return process.run();
}
