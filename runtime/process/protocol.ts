/** What the main thread and the worker with the guest say to each other. Each order has one answer. */
import type { LogChores } from "../../pmem/log-chores.js";
import type { Command } from "./command.js";
import type { FailurePlan } from "./failure-source.js";
import type { FrameInspection } from "./frame-inspection.js";
import type { Commit } from "./image/commit.js";
import type { KeepPolicy } from "./image/epoch-record.js";
import type { Cut, HoldupEnergy } from "./image/holdup-energy.js";
import type { DescriptorInspection } from "./inspect.js";
import type { PolicyWishes } from "./persistence-policy.js";
import type { FormAhead, ReadAhead } from "./read-ahead.js";
import type { SignalName } from "./signals.js";

/** What to do with an image that is there already and could go on. */
export type IfUnfinished = "resume" | "replace" | "fail";

/** What the guest is given by this host, besides its command; not part of the image. */
export interface Surroundings {
  /** Host descriptors of the guest's 0, 1 and 2; -1: nothing there. */
  readonly stdio: readonly [number, number, number];
  readonly onChangedFile: "fail" | "warn" | "ignore";
  /** URL of the module with host functions. */
  readonly imports: string | undefined;
  /** Where instrumented modules are kept; undefined: nowhere. */
  readonly cacheDirectory: string | undefined;
  /** Every safepoint is counted; needed by `FailurePlan.atSafepoint` and `rate`. */
  readonly exact: boolean;
  /** Go on from the log of a killed process; otherwise from its last persistence point. */
  readonly replay: boolean;
  /** A simulated limit of what a save may write; undefined: none. */
  readonly holdup: HoldupEnergy | undefined;
  /** Signals to this program that ask for a persistence point; whoever wants one reads them in the image's lock. */
  readonly persistOn: readonly SignalName[];
  /** Undefined: the guest's thread reads everything itself. */
  readonly ahead?: ReadAhead | undefined;
}

export type PrepareOrder = Surroundings &
  (
    | {
        readonly kind: "create";
        readonly command: Command;
        /** Undefined: the worker reads `command.module`. */
        readonly moduleBytes: Uint8Array | undefined;
        /** Absolute. */
        readonly image: string;
        readonly ifUnfinished: IfUnfinished;
        /** Of a new image: linear memory is written in place, not kept in a page store. */
        readonly inPlace: boolean;
      }
    | {
        readonly kind: "open";
        readonly image: string;
        /** An epoch of its history to go on from; undefined: the current one. */
        readonly at: number | undefined;
        /** Directories to grant instead of those that the image names; undefined: those, if this user made the image. */
        readonly preopens: Command["preopens"] | undefined;
        /** The same for listening sockets. */
        readonly listen: Command["listen"] | undefined;
        /** Only to follow the log of its last run, also of one that trapped. */
        readonly follow?: boolean | undefined;
      }
  );

/** Where a program was after a number of its host calls, as its log tells. */
export interface Followed {
  /** Why it stopped there: at the call that was asked for, where the log ends, or because the program trapped. */
  readonly stopped: "call" | "end" | "trap";
  /** Host calls that were answered from the log. */
  readonly calls: number;
  /** The host call that comes next; null: the program trapped, or the run ended without one. */
  readonly next: string | null;
  /** Why the program trapped; null: it did not. */
  readonly trap: string | null;
  /** Innermost first. After a trap without offsets. */
  readonly frames: readonly FrameInspection[];
  readonly descriptors: readonly DescriptorInspection[];
}

/** A function of a persistent instance; the arguments as texts. */
export interface CallOrder {
  readonly name: string;
  readonly args: readonly string[];
}

export interface RunOrder {
  /** Instances only; undefined: go on with the unfinished call. */
  readonly call: CallOrder | undefined;
  readonly plan: FailurePlan;
  /** How the run is kept, as far as it is not as before. */
  readonly wishes: PolicyWishes;
  /** Which epochs stay; undefined: as the image has been told before. */
  readonly keep: KeepPolicy | undefined;
  /** Host calls that a failure interrupted return EINTR instead of going on. */
  readonly eintr: boolean;
}

export type Order =
  | { readonly kind: "prepare"; readonly order: PrepareOrder }
  | { readonly kind: "run"; readonly order: RunOrder }
  /** Follow the log up to that many calls, or as far as it leads, and change nothing. */
  | { readonly kind: "follow"; readonly toCall: number | undefined }
  /** Let go of a prepared guest that is not going to run. */
  | { readonly kind: "discard" };

/** Compile what the next order most likely needs; there is no answer. */
export interface PrecompileOrder {
  readonly kind: "precompile";
  readonly form: FormAhead;
}

/** End the whole program; there is no answer. */
export interface ExitOrder {
  readonly kind: "exit";
  readonly status: number;
}

/** Where a process goes on. */
export interface Resumption {
  /** 0: at the program's beginning, by its log. */
  readonly epoch: number;
  readonly frames: number;
  /** Host calls that are answered from the log of the run before, which was killed; null: it has no log. */
  readonly loggedCalls: number | null;
}

/** How a run ended. */
export type Outcome =
  | { readonly kind: "exited"; readonly status: number; readonly results: readonly string[] }
  /** A call of a persistent instance, which waits for the next one. `results`: the same as texts, as the command line prints them. */
  | {
      readonly kind: "returned";
      readonly values: readonly (number | bigint)[];
      readonly results: readonly string[];
      /** The persistence point that holds the instance as the call left it. */
      readonly epoch: number;
    }
  | {
      readonly kind: "powerFailed";
      /** "timeLimit": no failure, but `timeLimitMilliseconds`; saved all the same. */
      readonly reason: "failure" | "timeLimit";
      /** The persistence point that holds the state; 0: the guest had not begun, the next run starts it. */
      readonly epoch: number;
      readonly frames: number;
      /** From the safepoint to the durable image. */
      readonly saveMilliseconds: number;
      /** The simulated energy (`holdup`) did not last for the save: `epoch` is the one before, from which the next run goes on. */
      readonly cut?: Cut;
    }
  | { readonly kind: "trapped"; readonly message: string };

/** What the next log takes. */
export interface SentChores extends Omit<LogChores, "memory"> {
  /** The first time that there is something to do in this range. */
  readonly memory: WebAssembly.Memory | undefined;
}

export type Report =
  | { readonly kind: "instrumenting"; readonly byteLength: number }
  /** A failure came first; nothing has been made. */
  | { readonly kind: "cancelled" }
  | {
      readonly kind: "prepared";
      readonly image: string;
      readonly command: Command;
      /** Undefined: a clean start. */
      readonly resumes: Resumption | undefined;
    }
  /** More stack is needed than this worker has; it has let go of the image. */
  | { readonly kind: "needsStack" }
  /** The guest may store. `period`: milliseconds between persistence points, if they are made by time. */
  | { readonly kind: "running"; readonly period: number | undefined }
  /** A log is being replayed; `progress` is from 0 to 1. */
  | { readonly kind: "replaying"; readonly calls: number; readonly progress: number }
  | { readonly kind: "discarded" }
  | { readonly kind: "followed"; readonly followed: Followed }
  /** A persistence point, for all requests up to that ticket; or why there is none. */
  | { readonly kind: "persisted"; readonly ticket: number; readonly epoch: number }
  | { readonly kind: "notPersisted"; readonly ticket: number; readonly error: SerializedError }
  /** To be carried out; the answer goes through the control block. */
  | { readonly kind: "commit"; readonly commit: Commit }
  /** Pages of the log are to be touched, while the guest runs. */
  | { readonly kind: "fill"; readonly address: number; readonly byteLength: number }
  /** The same for what the next log takes; the answer goes through the control block. */
  | { readonly kind: "log"; readonly chores: SentChores }
  | { readonly kind: "notice"; readonly message: string }
  | { readonly kind: "ended"; readonly outcome: Outcome }
  | { readonly kind: "failed"; readonly error: SerializedError };

/** Errors cross threads as data, because structured cloning keeps neither class nor `code`. */
export interface SerializedError {
  /** Of a VermilionError; undefined: a mistake of ours, with its stack. */
  readonly code: string | undefined;
  readonly message: string;
  readonly stack: string | undefined;
  readonly cause: SerializedError | undefined;
}
