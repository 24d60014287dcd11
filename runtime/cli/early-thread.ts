import { ENGINE_FLAGS } from "../process/engine-flags.js";
import { type GuestThread, startGuestThread } from "../process/guest-thread.js";
import { STACK_MEGABYTES } from "../process/stack-size.js";
import { GUEST_COMMANDS } from "./guest-commands.js";

/** The guest's thread, if the command needs one, while nothing else of the command line is loaded. */
export function earlyThread([, , command, ...rest]: readonly string[]): GuestThread | undefined {
  if (command === undefined || !GUEST_COMMANDS.includes(command)) return undefined;
  if (rest.includes("--supervise")) return undefined; // a supervisor runs no guest
  const options = { promptMainThread: true, keepFreedMemory: true, engineFlags: ENGINE_FLAGS, purpose: command };
  return startGuestThread(STACK_MEGABYTES.usual, options);
}
