/**
 * Signals that come before the options are parsed, which say what each of them is for.
 *
 * Loaded before anything else, so that little more than Node's own start is left without it. There, SIGPWR still ends the
 * program, with nothing lost: the guest has not begun.
 */
import { EXIT } from "./status.js";

/** A power failure before anything was touched: the same command starts, or goes on. */
function leave(): never {
  process.exit(EXIT.powerFailure);
}

/** From the first process on, SIGPWR is the process's; one that comes after its end must not look like a save. */
function giveWay(event: string | symbol): void {
  if (event !== "SIGPWR") return;
  process.off("newListener", giveWay);
  queueMicrotask(() => process.off("SIGPWR", leave)); // never without a listener in between
}

process.on("SIGPWR", leave);
process.on("newListener", giveWay);

/** Nothing to persist yet. Without a listener, Node opens its debugger's port to everybody on this machine. */
process.on("SIGUSR1", () => {});
