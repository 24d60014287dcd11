/**
 * Answers the guest's host calls from a log, as they were answered when it was written. Makes no call of the system.
 *
 * P1  Each call must be the one that the log has next, with the same arguments; anything else is LOG_DIVERGED, never a
 *     guess.
 * P2  What a record says is written only where its call may write: to the ranges that the guest itself has named, inside its
 *     memory.
 */
import { VermilionError } from "../../../pmem/error.js";
import type { GuestMemory } from "../../wasi/index.js";
import {
  type Arguments,
  buffersOf,
  type CallShape,
  checkOf,
  nameOfKind,
  type ProcessSizes,
  visitOutputs,
} from "./calls.js";
import type { DescriptorModel } from "./descriptor-model.js";
import { Flag, Kind } from "./format.js";
import { type Intent, noteNames, parseIntent } from "./intents.js";
import type { OpenedLog } from "./opened-log.js";
import type { LogReader, LogRecord } from "./reader.js";

/** What was about to be done when the log ends. */
export interface OpenEnd {
  /** The call of an intent without its outcome. */
  readonly intent: { readonly intent: Intent; readonly check: number } | undefined;
  /** The end of the file before an append of unknown outcome. */
  readonly append: { readonly end: number; readonly check: number } | undefined;
  /** The kind of a call that was begun. */
  readonly begun: number | undefined;
}

export class Replayer {
  readonly path: string;
  readonly #source: OpenedLog;
  readonly #model: DescriptorModel;
  readonly #sizes: ProcessSizes;
  #intent: OpenEnd["intent"];
  #append: OpenEnd["append"];
  #calls = 0;

  constructor(source: OpenedLog, model: DescriptorModel, sizes: ProcessSizes) {
    this.path = source.image;
    this.#source = source;
    this.#model = model;
    this.#sizes = sizes;
  }

  /** Host calls answered so far. */
  get calls(): number {
    return this.#calls;
  }

  get #reader(): LogReader {
    return this.#source.current.reader;
  }

  /** How far the replay has come, from 0 to 1. */
  get progress(): number {
    return this.#reader.progress;
  }

  get model(): DescriptorModel {
    return this.#model;
  }

  /** What follows; intents are taken in on the way. Undefined: the log has ended. */
  #peek(): LogRecord | undefined {
    for (;;) {
      const record = this.#reader.peek();
      if (record?.kind === Kind.INTENT) {
        this.#intent = { intent: parseIntent(record.payload.toString(), this.path), check: record.check };
      } else if (record?.kind === Kind.APPEND_INTENT) {
        if (record.payload.byteLength < 8) throw this.#damaged("an intent is too short");
        this.#append = { end: Number(record.payload.readBigUInt64LE()), check: record.check };
      } else if (record?.kind === Kind.DESCRIPTORS) {
        this.#model.change(record.payload.toString(), this.path);
      } else if (record?.kind === Kind.CONTINUED) {
        if (!this.#source.goOn()) return undefined;
        continue;
      } else if (record?.kind === Kind.BROKEN) return undefined;
      else return record;
      this.#reader.next();
    }
  }

  get ended(): boolean {
    return this.#peek() === undefined;
  }

  /** Whether the program was told here that the power had failed. */
  takeCallback(): boolean {
    if (this.#peek()?.kind !== Kind.CALLBACK) return false;
    this.#reader.next();
    return true;
  }

  /** The log ends: what is uncertain. */
  openEnd(): OpenEnd {
    return { intent: this.#intent, append: this.#append, begun: this.#reader.begun };
  }

  /** Calls were made that the log does not have, because the disk was full. */
  get isBroken(): boolean {
    return this.#reader.peek()?.kind === Kind.BROKEN;
  }

  /** Of a memory that the guest wants to grow: whether it could. Undefined: the log has ended. */
  grow(memory: number, byteLength: number): boolean | undefined {
    const record = this.#peek();
    if (record === undefined) return undefined;
    const what = `memory.grow to ${byteLength} bytes`;
    if (record.kind !== Kind.GROW || record.payload.byteLength !== 12) throw this.#diverged(what, record);
    const { payload } = record;
    if (payload.readUInt32LE() !== memory || Number(payload.readBigUInt64LE(4)) !== byteLength) {
      throw this.#diverged(what, record);
    }
    this.#reader.next();
    return record.result === 1;
  }

  /** The results of a function of the embedder's, as a text; undefined: the log has ended. */
  hostFunction(label: string): string | undefined {
    const record = this.#peek();
    if (record === undefined) return undefined;
    if (record.kind !== Kind.HOST_FUNCTION) throw this.#diverged(label, record);
    const [name, results] = this.#parse(record.payload);
    if (name !== label || typeof results !== "string") throw this.#diverged(label, record);
    this.#reader.next();
    return results;
  }

  #parse(payload: Buffer): readonly unknown[] {
    try {
      const value: unknown = JSON.parse(payload.toString());
      if (Array.isArray(value)) return value as unknown[];
    } catch {}
    throw this.#damaged("the results of a host function are malformed");
  }

  /** What an interrupted call returned instead of being made; undefined: the log has ended, which it never has there. */
  interrupted(name: string, args: Arguments, memory: GuestMemory): number | undefined {
    const record = this.#peek();
    if (record === undefined) return undefined;
    if (record.kind !== Kind.INTERRUPTED || record.check !== checkOf(args)) throw this.#diverged(name, record);
    const out = Number(args[name === "sock_send" ? 4 : 3]) >>> 0;
    if (record.payload.byteLength >= 4 && memory.has(out, 4)) memory.setU32(out, record.payload.readUInt32LE());
    this.#reader.next();
    this.#model.called({ name, args, result: record.result, value: 0, position: undefined });
    return record.result;
  }

  /** The result of a call; undefined: the log has ended. */
  call(name: string, shape: CallShape, args: Arguments, memory: GuestMemory): number | undefined {
    const record = this.#peek();
    if (record === undefined) return undefined;
    const { kind, result, flags, check, payload, outputs } = record;
    if (kind !== shape.kind || check !== checkOf(args)) throw this.#diverged(name, record);
    this.#reader.next();
    this.#calls++;
    let at = 0;
    if (result === 0) at = this.#apply(shape, args, memory, outputs);
    if (outputs !== payload) at = 4;
    let position: number | undefined;
    if ((flags & Flag.CLOCK) !== 0) {
      this.#need(payload, at + 8);
      this.#model.clock(payload.readBigUInt64LE(at));
      at += 8;
    }
    if ((flags & Flag.POSITION) !== 0) {
      this.#need(payload, at + 8);
      position = payload.readDoubleLE(at);
      at += 8;
    }
    const append = this.#append;
    const intent = (flags & Flag.INTENDED) === 0 ? undefined : this.#intent?.intent;
    this.#append = undefined;
    this.#intent = undefined;
    const value = name === "fd_seek" ? firstU64(outputs) : firstU32(outputs);
    if (append !== undefined && result === 0 && name !== "fd_pwrite") position = append.end + value;
    this.#model.called({ name, args, result, value, position });
    if (name === "clock_time_get" && payload.byteLength >= 8) {
      this.#model.clockRead(Number(args[0]), payload.readBigUInt64LE());
    }
    if (intent !== undefined) noteNames(intent, this.#model);
    if (intent?.after !== undefined) this.#model.change(JSON.stringify(intent.after), this.path);
    if ((flags & Flag.CHANGED) !== 0) {
      this.#need(payload, at + 4);
      const byteLength = payload.readUInt32LE(at);
      this.#need(payload, at + 4 + byteLength);
      this.#model.change(payload.toString("utf8", at + 4, at + 4 + byteLength), this.path);
    }
    return result;
  }

  /** P2. How long the outputs are. */
  #apply(shape: CallShape, args: Arguments, memory: GuestMemory, outputs: Buffer): number {
    const buffers = buffersOf(shape, args, memory);
    let at = 0;
    visitOutputs(shape, args, memory, buffers, this.#sizes, (pointer, byteLength) => {
      this.#need(outputs, at + byteLength);
      memory.bytes.set(outputs.subarray(at, at + byteLength), pointer);
      at += byteLength;
    });
    return at;
  }

  #need(payload: Buffer, byteLength: number): void {
    if (payload.byteLength < byteLength) throw this.#damaged("a record is shorter than what it should hold");
  }

  #damaged(what: string): VermilionError {
    return new VermilionError("IMAGE_DAMAGED", `${this.path}: ${what}; start again with --fresh`);
  }

  #diverged(made: string, { kind }: LogRecord): VermilionError {
    const logged = kind < Kind.BEGIN ? nameOfKind(kind) : `record ${kind}`;
    const how = logged === made ? "with other arguments" : `where the log has ${logged}`;
    return new VermilionError(
      "LOG_DIVERGED",
      `${this.path}: after ${this.#calls} host calls the program makes ${made} ${how}, so it does not repeat what it did; ` +
        "nothing was changed: go on from the last persistence point instead (--no-replay), or start again (--fresh)",
    );
  }
}

function firstU64(payload: Buffer): number {
  return payload.byteLength >= 8 ? Number(payload.readBigUInt64LE()) : 0;
}

function firstU32(payload: Buffer): number {
  return payload.byteLength >= 4 ? payload.readUInt32LE() : 0;
}
