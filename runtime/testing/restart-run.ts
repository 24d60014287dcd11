/**
 * One run of a guest that manages persistent memory itself, from its beginning, in this thread: a fresh instance, of whose
 * memory only what survived a failure comes back, when the guest announces it.
 *
 * X1  A range is in the cache model from its announcement on, with the bytes that survived or, on a first start, with those
 *     that it holds: stores before that are no persistent ones.
 * X2  The model is told of a store before anything that follows it: by the instrumented code, and for the host's writes (and
 *     all others of a program that is not tracked) by comparing, behind each host call and before each flush or fence.
 */
import { closeSync } from "node:fs";
import type { CacheModel } from "../../pmem/cache-model.js";
import { invariant, VermilionError } from "../../pmem/error.js";
import type { FileTree } from "../../pmem/file-model.js";
import type { SurvivingState } from "../../pmem/surviving-states.js";
import { VERMILION_MODULE } from "../instrument/own-modules.js";
import type { Preopen } from "../process/command.js";
import { Machine } from "../process/machine.js";
import type { HostFunction } from "../process/machine-host.js";
import type { Outcome } from "../process/outcome.js";
import { type PersistentMemory, pmemCalls } from "../process/pmem-calls.js";
import type { Program } from "../process/program.js";
import { ProcessExit, Wasi } from "../wasi/index.js";
import { libc } from "../wasi/libc.js";
import { GuestFiles } from "./guest-files.js";
import { type EngineFrame, guestStack } from "./guest-stack.js";
import { openInput } from "./input.js";
import { SimulatedTime } from "./simulated-time.js";

/** What a run does to what outlives it; `sync` flushes a file or a directory, `end` is when the run has ended. */
export type RestartPointKind = "store" | "flush" | "fence" | "write" | "sync" | "promise" | "end";

export interface RestartSubject {
  readonly program: Program;
  /** With argv[0]. */
  readonly args: readonly string[];
  readonly env: readonly (readonly [string, string])[];
  /** Of all random bytes that it asks for; every guest sees the same. */
  readonly seed: number;
  /** A file for its standard input, from the beginning in every run; undefined: nothing to read. */
  readonly stdin?: string | undefined;
  /** Directories that it is granted, as they are before the first start; undefined: none. */
  readonly files?: { readonly guests: readonly string[]; readonly tree: FileTree };
}

/** Where a run begins. */
export interface RestartOrigin {
  /** What a failure has left; undefined: a first start. */
  readonly survived: { readonly memory: SurvivingState; readonly tree: FileTree | undefined } | undefined;
  readonly promised: number;
  /** For its files; made and removed again. */
  readonly folder: string;
}

/** Who made a store: the guest there, or the host in a call from there (or, by comparison, since the call before). */
export interface StorePlace {
  readonly byHost: boolean;
  readonly frames: readonly EngineFrame[];
}

/** Asked before each event, and at the end, with the number of events so far: what a failure right here may leave. */
export type AtEvent = (run: RestartRun, kind: RestartPointKind) => void;

export class RestartRun implements PersistentMemory {
  readonly model: CacheModel;
  readonly files: GuestFiles | undefined;
  /** Events so far: stores into persistent memory, flushes, fences, changes of files, promises. */
  eventCount = 0;
  /** The largest promise, of this run or of those before it. */
  promised: number;
  /** By store's sequence number, where it was made; kept on demand. */
  readonly storedBy = new Map<number, StorePlace>();
  readonly #survived: SurvivingState | undefined;
  readonly #atEvent: AtEvent;
  readonly #keepsStacks: boolean;
  readonly #stdin: number;
  readonly #wasi: Wasi | undefined;
  readonly #machine: Machine;
  #memory: WebAssembly.Memory | undefined;
  #bytes = new Uint8Array(0);

  constructor(
    subject: RestartSubject,
    model: CacheModel,
    { survived, promised, folder }: RestartOrigin,
    atEvent: AtEvent,
    keepsStacks = false,
  ) {
    this.model = model;
    this.promised = promised;
    this.#survived = survived?.memory;
    this.#atEvent = atEvent;
    this.#keepsStacks = keepsStacks;
    const { files } = subject;
    this.files = files && new GuestFiles(folder, files.guests, survived?.tree ?? files.tree);
    const preopens = this.files?.preopens ?? [];
    this.#stdin = subject.stdin === undefined ? -1 : openInput(subject.stdin);
    this.#wasi = usesWasi(subject.program)
      ? Wasi.create({
          ...{ args: subject.args, env: subject.env, preopens, stdio: [this.#stdin, -1, -1] },
          simulation: new SimulatedTime(subject.seed),
        })
      : undefined;
    for (const { number, path } of this.#wasi?.describeDescriptors() ?? []) this.files?.open(number, path);
    this.#machine = new Machine(subject.program, {
      functions: {
        [VERMILION_MODULE]: pmemCalls(this),
        wasi_snapshot_preview1: this.#systemCalls(this.#wasi?.functions),
        wasi_unstable: this.#systemCalls(this.#wasi?.unstableFunctions),
      },
      attachMemory: (index, memory) => this.#attach(index, memory),
      growMemory: () => true,
      failurePending: () => false,
      stored: (address, byteLength) => this.#stored(address, byteLength),
      exitStatus: (error) => (error instanceof ProcessExit ? error.status : undefined),
    });
  }

  /**
   * Runs an export as a fresh start; `suspended`: it has not ended after so many safepoints. `ended` is told of the directories
   * that it leaves while they are there.
   */
  start(
    exportName: string,
    args: readonly number[],
    safepointLimit: number,
    ended: (files: readonly Preopen[]) => void = () => undefined,
  ): Outcome {
    try {
      const outcome = this.#machine.start(exportName, args, { atSafepoint: safepointLimit });
      this.#absorb();
      this.model.goOn();
      if (outcome.kind !== "suspended") this.#atEvent(this, "end");
      ended(this.files?.preopens ?? []);
      return outcome;
    } finally {
      this.#wasi?.close();
      this.files?.close();
      if (this.#stdin >= 0) closeSync(this.#stdin);
    }
  }

  // PersistentMemory

  announce(address: number, byteLength: number): boolean {
    const memory = this.#view();
    if (address + byteLength > memory.length) {
      throw new VermilionError(
        "BAD_RANGE",
        `the program announces ${byteLength} bytes of persistent memory at ${address}, beyond its memory of ` +
          `${memory.length} bytes; announce a range of its own`,
      );
    }
    const restored = this.#bringBack(address, address + byteLength, memory);
    this.model.announce(address, memory.subarray(address, address + byteLength)); // X1
    return restored;
  }

  /** Whether every byte of [from, to) had survived. */
  #bringBack(from: number, to: number, memory: Uint8Array): boolean {
    let missing = to - from;
    for (const { address, bytes } of this.#survived?.ranges ?? []) {
      const first = Math.max(from, address);
      const last = Math.min(to, address + bytes.length);
      if (first >= last) continue;
      memory.set(bytes.subarray(first - address, last - address), first);
      missing -= last - first;
    }
    return missing === 0;
  }

  writeBack(address: number, byteLength: number): void {
    this.#before("flush");
    this.model.writeBack(address, byteLength);
  }

  fence(): void {
    this.#before("fence");
    this.model.fence();
  }

  persist(address: number, byteLength: number): void {
    this.#before("fence");
    this.model.persist(address, byteLength);
  }

  promise(count: number): void {
    this.#before("promise");
    this.promised = Math.max(this.promised, count);
  }

  #before(kind: RestartPointKind): void {
    this.#absorb();
    this.model.goOn();
    this.#atEvent(this, kind);
    this.eventCount++;
  }

  #stored(address: number, byteLength: number): void {
    // Under eADR a state is lost with the next store, so each is looked at behind its own.
    if (!this.model.store(address, byteLength, this.#view())) return;
    this.eventCount++;
    if (this.#keepsStacks) this.storedBy.set(this.model.storeCount, { byHost: false, frames: guestStack() });
    this.#atEvent(this, "store");
  }

  /** X2. */
  #absorb(): void {
    if (this.#memory === undefined || !this.model.absorb(this.#view())) return;
    this.eventCount++;
    if (this.#keepsStacks) this.storedBy.set(this.model.storeCount, { byHost: true, frames: guestStack() });
    this.#atEvent(this, "store");
  }

  #view(): Uint8Array {
    invariant(this.#memory !== undefined, "a guest that stores has a memory");
    // A buffer that has grown is another one.
    if (this.#bytes.buffer !== this.#memory.buffer) this.#bytes = new Uint8Array(this.#memory.buffer);
    return this.#bytes;
  }

  #attach(index: number, memory: WebAssembly.Memory): void {
    if (index !== 0) return;
    this.#memory = memory;
    this.#wasi?.bind({
      memory,
      memoryAddress: libc().addressOf(memory.buffer),
      failurePending: () => false,
      wakeDescriptor: -1,
    });
  }

  #systemCalls(functions: Readonly<Record<string, HostFunction>> | undefined): Record<string, HostFunction> {
    if (functions === undefined) return { proc_exit: exit };
    const calls: Record<string, HostFunction> = {};
    for (const [name, call] of Object.entries(functions)) {
      calls[name] = (...args) => {
        const syncs = name === "fd_sync" || name === "fd_datasync";
        if (syncs) this.#before("sync");
        const result = call(...args);
        this.#absorb();
        if (result === 0) this.#filesCalled(name, args);
        return result;
      };
    }
    return calls;
  }

  #filesCalled(name: string, args: readonly (number | bigint)[]): void {
    const { files } = this;
    if (files === undefined) return;
    const [first, second] = [Number(args[0]), Number(args[1])];
    if (files.called(name)) {
      this.eventCount++;
      this.#atEvent(this, "write");
    }
    if (name === "fd_sync" || name === "fd_datasync") files.sync(first);
    else if (name === "fd_renumber") files.renumber(first, second);
    else if (name === "path_open") {
      const view = this.#view();
      const opened = new DataView(view.buffer).getUint32(Number(args[8]) >>> 0, true);
      const path = this.#wasi?.describeDescriptors().find(({ number }) => number === opened)?.path;
      if (path !== undefined) files.open(opened, path);
    }
  }
}

function exit(status: number | bigint | undefined): never {
  throw new ProcessExit(Number(status) >>> 0);
}

/** Anything but leaving: most small guests need no descriptors. */
function usesWasi({ module }: Program): boolean {
  return module.imports.some(({ module: from, name }) => from !== VERMILION_MODULE && name !== "proc_exit");
}
