/** Where a program was at a place in its log, once the log has been followed up to there. */
import { describeState } from "../wasi/index.js";
import { describeFrames } from "./frame-inspection.js";
import type { Outcome } from "./outcome.js";
import type { Program } from "./program.js";
import type { Followed } from "./protocol.js";
import { decodeStacks } from "./stacks.js";
import type { SystemInterface } from "./system-interface.js";
import { trapFrames } from "./trap-frames.js";

/** Of frames of which only the function is known. */
const NOWHERE = { stack: "entry", offset: null, source: null } as const;

export interface FollowedGuest {
  /** Stopped in front of a call, or behind the last one of its log. */
  readonly system: SystemInterface;
  readonly program: Program;
  /** The guest's own. */
  readonly moduleBytes: Uint8Array;
  /** For messages. */
  readonly image: string;
}

/** Undefined: the program did not do what its log says. */
export function describeFollowed(outcome: Outcome, guest: FollowedGuest): Followed | undefined {
  const { system, program, moduleBytes, image } = guest;
  const { calls, ended, state } = system.followed;
  const descriptors = describeState(state).map((one) => ({ ...one, offset: one.offset?.toString() ?? null }));
  const told = { calls, descriptors, next: system.stoppedBefore ?? null, trap: null };
  if (outcome.kind === "trapped" && ended) {
    const { module, names } = program;
    const frames = trapFrames(outcome.error, module.functionTypes.length).map(({ functionIndex }) => ({
      ...{ functionIndex, name: names.get(functionIndex) ?? null, ...NOWHERE },
    }));
    return { ...told, stopped: "trap", trap: outcome.error.message, frames };
  }
  if (outcome.kind === "suspended" && system.stoppedBefore !== undefined) {
    const { tasks } = decodeStacks(outcome.state.stacks);
    return { ...told, stopped: ended ? "end" : "call", frames: describeFrames(moduleBytes, tasks, image) };
  }
  return outcome.kind === "returned" && ended ? { ...told, stopped: "end", frames: [] } : undefined;
}
