/** Which of a guest's functions a run calls: the one that is asked for, the one that its log begins with, or none. */
import { VermilionError } from "../../pmem/error.js";
import type { Module } from "../wasm/module.js";
import type { Command } from "./command.js";
import { naming } from "./guest-preparation.js";
import { callOf, describeCall, entryOf, sameCall } from "./invocation.js";
import type { CallOrder } from "./protocol.js";
import type { EntryCall } from "./stacks.js";

export interface CallSituation {
  readonly module: Module;
  readonly command: Command;
  /** For messages. */
  readonly image: string;
  /** What the log begins with that is about to be replayed. */
  readonly logged: CallOrder | undefined;
  /** Of an instance that has a call under way: which. */
  readonly underWay: EntryCall | undefined;
  /** A program of one run begins; false: it goes on. */
  readonly begins: boolean;
}

/**
 * Undefined: go on with what was under way. CALL_NEEDED, CALL_UNFINISHED, NO_INSTANCE, NO_SUCH_EXPORT, BAD_ARGUMENT.
 */
export function nextCall(call: CallOrder | undefined, situation: CallSituation): EntryCall | undefined {
  const { module, command, image, logged, underWay, begins } = situation;
  if (logged !== undefined) {
    const entry = callOf(module, logged.name, logged.args);
    if (call === undefined || sameCall(wantedCall(call, situation), entry)) return entry;
    throw otherCall(image, entry);
  }
  if (!command.instance) {
    if (call === undefined) return begins ? entryOf(module, command) : undefined;
    throw new VermilionError("NO_INSTANCE", `${image}: this is a program of one run and takes no calls`);
  }
  const wanted = call && wantedCall(call, situation);
  if (underWay === undefined) {
    if (wanted !== undefined) return wanted;
    throw new VermilionError("CALL_NEEDED", `${image}: this instance waits for a call; say which function`);
  }
  if (wanted === undefined || sameCall(wanted, underWay)) return undefined;
  throw otherCall(image, underWay);
}

function wantedCall({ name, args }: CallOrder, { module, image }: CallSituation): EntryCall {
  return naming(image, () => callOf(module, name, args));
}

function otherCall(image: string, entry: EntryCall): VermilionError {
  return new VermilionError(
    "CALL_UNFINISHED",
    `${image}: the power failed during another call, ${describeCall(entry)}; ` +
      "end it first: call it again, or vermilion resume",
  );
}
