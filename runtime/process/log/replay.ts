/**
 * A replay, and where it leads: on to a live process or, when the log is only followed, to a place in it.
 *
 *     replaying --the log ends--> arrived: the calls are made                replaying, followed --the place, or the end--> stopped
 *
 * B1  Behind a log that is only followed no call is made: the guest is stopped in front of it.
 */
import { VermilionError } from "../../../pmem/error.js";
import { type GuestMemory, type SavedState, WASI_STATE_VERSION } from "../../wasi/index.js";
import { RESTART, TELL } from "../machine-host.js";
import type { Arguments, CallShape, ProcessSizes } from "./calls.js";
import type { DescriptorModel } from "./descriptor-model.js";
import { bootId } from "./files.js";
import type { OpenedLog } from "./opened-log.js";
import { type OpenEnd, Replayer } from "./replayer.js";

/** Calls between two reports of the progress. */
const REPORT_CALLS = 1024;

/** Told now and then; `progress` is from 0 to 1. */
export type ReportReplay = (calls: number, progress: number) => void;

export class Replay {
  readonly log: OpenedLog;
  readonly model: DescriptorModel;
  readonly #replayer: Replayer;
  readonly #report: ReportReplay;
  /** Calls after which following ends; undefined: the log leads on to a live process. */
  #followTo: number | undefined;
  #stoppedBefore: string | undefined;

  constructor(log: OpenedLog, model: DescriptorModel, sizes: ProcessSizes, report: ReportReplay) {
    this.log = log;
    this.model = model;
    this.#replayer = new Replayer(log, model, sizes);
    this.#report = report;
  }

  /** From here on the log is only followed: up to a number of calls, or to its end. */
  follow(toCall: number | undefined): void {
    this.#followTo = toCall ?? Number.POSITIVE_INFINITY;
  }

  /** Following the log has ended in front of this host call; undefined: not yet. */
  get stoppedBefore(): string | undefined {
    return this.#stoppedBefore;
  }

  /** How far the log has been followed, and what it says of the system interface there. */
  get followed(): { readonly calls: number; readonly ended: boolean; readonly state: SavedState } {
    const { calls, ended } = this.#replayer;
    return { calls, ended, state: this.model.state(WASI_STATE_VERSION) };
  }

  /** Between two calls: the log has ended, with no call under way in it, and leads on. */
  get hasArrived(): boolean {
    if (!this.#replayer.ended || this.#followTo !== undefined) return false;
    const { intent, append, begun } = this.#replayer.openEnd();
    return intent === undefined && append === undefined && begun === undefined;
  }

  /** The log ends: what is uncertain. */
  openEnd(): OpenEnd {
    return this.#replayer.openEnd();
  }

  /** The log ends: why it may lack more than one call; undefined: it does not. */
  get shortfall(): string | undefined {
    const { image, header } = this.log;
    if (this.#replayer.isBroken) {
      return `${image}: the disk was full, so the log of its host calls is not complete: what came later may come again`;
    }
    if (header.boot === bootId()) return undefined;
    return `${image}: the machine was started anew since: the log may lack its last calls, and they may come again`;
  }

  /** The result of a call, below 0: it is left. Undefined: the log has ended and leads on. */
  call(name: string, shape: CallShape, args: Arguments, memory: GuestMemory): number | undefined {
    const replayer = this.#replayer;
    if (this.#followTo !== undefined && (replayer.calls >= this.#followTo || replayer.ended)) {
      this.#stoppedBefore = name; // B1
      return RESTART;
    }
    if (replayer.takeCallback()) return TELL;
    const result = replayer.call(name, shape, args, memory);
    if (result !== undefined && replayer.calls % REPORT_CALLS === 0) this.#report(replayer.calls, replayer.progress);
    return result;
  }

  /** What an interrupted call returned instead of being made. */
  interrupted(name: string, args: Arguments, memory: GuestMemory): number | undefined {
    return this.#replayer.interrupted(name, args, memory);
  }

  /** The results of a function of the embedder's, as a text; undefined: the log has ended and leads on. */
  hostFunction(label: string): string | undefined {
    const text = this.#replayer.hostFunction(label);
    if (text !== undefined || this.#followTo === undefined) return text;
    throw new VermilionError(
      "LOG_ENDED", // B1
      `${this.log.image}: the log ends at a call of ${label}, after all host calls`,
    );
  }

  /** Whether a memory may grow, as it could; `ask` makes it. Undefined: the log has ended and leads on. */
  grow(memory: number, byteLength: number, ask: () => boolean): boolean | undefined {
    const logged = this.#replayer.grow(memory, byteLength);
    if (logged === false) return false;
    if (logged === undefined) return this.#followTo === undefined ? undefined : ask();
    if (ask()) return true;
    throw new VermilionError(
      "OUT_OF_MEMORY",
      `${this.log.image}: its memory had ${byteLength} bytes and cannot have them now; make room and resume again`,
    );
  }
}
