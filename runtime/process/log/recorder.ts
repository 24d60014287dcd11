/**
 * Makes the guest's host calls and appends to the log what each has returned.
 *
 * R1  A record is appended after its call and before the guest goes on. So a killed process lacks the record of one call at
 *     most, the last that it made.
 * R2  Before a call whose effect must not be repeated, an intent is appended with what tells afterwards whether it happened
 *     (intents.ts). Before any other call its kind is marked: then, and only then, is it unknown whether it was made.
 * R3  The descriptors here are those that a replay of the log would have, but for their positions.
 *
 * The calls that programs make by the million have closures of their own (frequent-recording.ts).
 */

import { type GuestMemory, Landing, type Observer, type SavedDescriptor } from "../../wasi/index.js";
import { keptFilesOf } from "../kept-files.js";
import { CallRecords } from "./call-records.js";
import { type Traits, traitsOf } from "./call-traits.js";
import {
  type Arguments,
  buffersOf,
  type CallShape,
  checkOf,
  type ProcessSizes,
  type SystemCall,
  type SystemCalls,
  shapeOf,
} from "./calls.js";
import type { DescriptorModel } from "./descriptor-model.js";
import { Flag, Kind } from "./format.js";
import { FREQUENT_RECORDING } from "./frequent-recording.js";
import { type Intent, intentOf, noteNames, textOf } from "./intents.js";
import { Landings } from "./landings.js";
import type { LogWriter } from "./writer.js";

export interface RecorderParts {
  readonly model: DescriptorModel;
  readonly observer: Observer;
  readonly memory: GuestMemory;
  readonly sizes: ProcessSizes;
  /** The log is flushed before output leaves the machine. */
  readonly flushBeforeOutput: boolean;
}

export class Recorder {
  readonly #model: DescriptorModel;
  readonly #observer: Observer;
  readonly #memory: GuestMemory;
  readonly #records: CallRecords;
  readonly #landings: Landings;
  readonly #flushBeforeOutput: boolean;

  constructor(writer: LogWriter, { model, observer, memory, sizes, flushBeforeOutput }: RecorderParts) {
    this.#model = model;
    this.#observer = observer;
    this.#memory = memory;
    this.#records = new CallRecords(writer, observer, memory, sizes);
    this.#landings = new Landings(observer);
    this.#flushBeforeOutput = flushBeforeOutput;
  }

  get writer(): LogWriter {
    return this.#records.writer;
  }

  /** Of the next log, from here on. */
  set writer(writer: LogWriter) {
    this.#records.writer = writer;
  }

  /** The calls, recording; `unstable`: of wasi_unstable. */
  wrap(live: SystemCalls, unstable: boolean): SystemCalls {
    const parts = { records: this.#records, landings: this.#landings, memory: this.#memory };
    const wrapped: Record<string, SystemCall> = {};
    for (const [name, call] of Object.entries(live)) {
      const general = this.#plain(name, call, unstable) ?? this.#general(name, call, unstable);
      wrapped[name] = FREQUENT_RECORDING[name]?.(call, parts, general) ?? general;
    }
    return wrapped;
  }

  /** Names in the directory of kept files that the open descriptors have. */
  keptFiles(): readonly string[] {
    return keptFilesOf(this.#model.descriptors);
  }

  /** memory.grow is no host call of the guest's, but what it returns depends on the host. */
  grow(memory: number, byteLength: number, allowed: boolean): void {
    const { writer } = this;
    writer.open(12);
    writer.u32(memory);
    writer.u64(BigInt(byteLength));
    writer.commit(Kind.GROW | (allowed ? 1 << 8 : 0), 0);
  }

  /** What a call that a failure had interrupted returned instead of going on. */
  interrupted(name: string, args: Arguments, result: number): void {
    const { writer } = this;
    writer.open(4);
    if (result === 0) writer.u32(this.#outputOf(args, name === "sock_send" ? 4 : 3));
    writer.commit(Kind.INTERRUPTED | (result << 8), checkOf(args));
  }

  /** Descriptors are otherwise than the calls have left them. */
  descriptors(changed: readonly SavedDescriptor[]): void {
    this.#model.take(changed);
    this.writer.text(Kind.DESCRIPTORS, 0, JSON.stringify(changed));
  }

  /** A call of which nothing need be known but its outputs, which are always as long; undefined: it is another. */
  #plain(name: string, call: SystemCall, unstable: boolean): SystemCall | undefined {
    const { kind, fixed } = shapeOf(name, unstable);
    const { transfers, mayIntend, closes, moves, changes } = traitsOf(name);
    if (fixed === undefined || transfers || mayIntend || closes || moves || changes) return undefined;
    const records = this.#records;
    return (...args) => {
      records.writer.mark(kind);
      const result = call(...args);
      const check = checkOf(args);
      return result === 0 ? records.words(kind, fixed, args, check) : records.ended(kind, check, result);
    };
  }

  #general(name: string, call: SystemCall, unstable: boolean): SystemCall {
    const shape = shapeOf(name, unstable);
    const traits = traitsOf(name);
    const { transfers, outgoing, mayIntend } = traits;
    const records = this.#records;
    const landings = this.#landings;
    return (...args) => {
      const { writer } = records;
      const check = checkOf(args);
      const landing = transfers ? landings.of(args[0] as number) : Landing.NOWHERE;
      if (outgoing && landing === Landing.IN_STREAM && this.#flushBeforeOutput) writer.flush();
      let intent: Intent | undefined;
      if (outgoing && landing === Landing.AT_END) {
        writer.open(8);
        writer.u64(this.#observer.endOf(Number(args[0]) >>> 0));
        writer.commit(Kind.APPEND_INTENT, check);
      } else if (mayIntend) {
        intent = intentOf(name, args, this.#observer, this.#model);
        if (intent !== undefined) writer.text(Kind.INTENT, check, textOf(intent));
      }
      return this.#make(traits, shape, args, call, check, landing, intent);
    };
  }

  /**
   * Makes a call whose intent, if it has one, is in the log: in place of the guest's, when it is known already what has
   * become of that.
   */
  makeAs(
    name: string,
    unstable: boolean,
    args: Arguments,
    call: SystemCall,
    intent: Intent | undefined,
  ): number | undefined {
    const traits = traitsOf(name);
    const landing = traits.transfers ? this.#landings.of(Number(args[0])) : Landing.NOWHERE;
    return this.#make(traits, shapeOf(name, unstable), args, call, checkOf(args), landing, intent);
  }

  #make(
    { name, positioned, closes, moves, changes }: Traits,
    shape: CallShape,
    args: Arguments,
    call: SystemCall,
    check: number,
    landing: number,
    intent: Intent | undefined,
  ): number | undefined {
    const records = this.#records;
    records.writer.mark(shape.kind);
    const buffers = buffersOf(shape, args, this.#memory);
    const result = call(...args);
    if (result !== 0) {
      if (intent?.kept !== undefined) this.#observer.notKept(intent.kept.name);
      return records.ended(shape.kind, check, result);
    }
    if (intent?.kept !== undefined) this.#observer.kept(intent.kept.numbers, intent.kept.name);
    if (intent !== undefined) noteNames(intent, this.#model);
    if (intent?.after !== undefined) this.#model.take(intent.after);
    const shared = positioned && landing === Landing.AT_SHARED_POSITION;
    records.succeeded(shape, args, buffers, check, {
      flags: intent === undefined ? 0 : Flag.INTENDED,
      changed: changes ? this.#changed(name, args) : undefined,
      clock: name === "poll_oneoff",
      position: shared ? this.#observer.positionOf(Number(args[0]) >>> 0) : undefined,
    });
    if (closes) {
      this.#model.called({ name, args, result: 0, value: 0, position: undefined });
    }
    if (moves) this.#landings.forget();
    return 0;
  }

  /** The descriptors that a successful call has made or altered. */
  #changed(name: string, args: Arguments): readonly SavedDescriptor[] | undefined {
    const saved = this.#saved(name, args);
    if (saved === undefined) return undefined;
    const changed = [saved];
    this.#model.take(changed);
    return changed;
  }

  #saved(name: string, args: Arguments): SavedDescriptor | undefined {
    const observer = this.#observer;
    if (name === "sock_accept") return observer.save(this.#outputOf(args, 2));
    if (name !== "path_open") return observer.save(Number(args[0]) >>> 0);
    const fd = this.#outputOf(args, 8);
    return observer.saveOpened(fd, Number(args[0]) >>> 0, args[1] !== 0, Number(args[2]), Number(args[3]));
  }

  /** The u32 that a successful call has written where an argument says. */
  #outputOf(args: Arguments, index: number): number {
    const at = Number(args[index]) >>> 0;
    this.#memory.has(at, 4);
    return this.#memory.u32(at);
  }
}
