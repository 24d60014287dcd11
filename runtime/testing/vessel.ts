/**
 * A guest in this thread, without an image: what the explorer starts, stops, copies and lets go on, thousands of times.
 *
 * empty -> started | loaded -> (run) -> stopped. A vessel that has stopped may be loaded again, with another state or with
 * its own, as after a failure.
 *
 * L1  What remains and what a power failure saves are the same: the machine's state, linear memory, and the state
 *     of the system interface, through the same code. Output and files are the world outside: what remains names them.
 * L2  A machine is taken again only when nothing can be left in it that its next state does not replace.
 * L3  Nothing a run does reaches the user's files: it works on the sandbox's.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { invariant } from "../../pmem/error.js";
import { VERMILION_MODULE } from "../instrument/own-modules.js";
import type { MachineState } from "../process/image/state-file.js";
import { keptFilesOf, removeUnusedFiles } from "../process/kept-files.js";
import { Machine } from "../process/machine.js";
import type { HostFunction, Injection, MachineHost, PersistencePoints } from "../process/machine-host.js";
import type { Outcome } from "../process/outcome.js";
import { pmemCalls } from "../process/pmem-calls.js";
import type { Program } from "../process/program.js";
import type { EntryCall } from "../process/stacks.js";
import { Oflags } from "../wasi/abi.js";
import { ProcessExit, RESTART, Wasi } from "../wasi/index.js";
import { libc } from "../wasi/libc.js";
import { WASM_PAGE_BYTE_LENGTH } from "../wasm/module.js";
import { GuestStdio } from "./guest-stdio.js";
import { Sandbox } from "./sandbox.js";
import { type SimulatedMoment, SimulatedTime } from "./simulated-time.js";
import type { Subject } from "./subject.js";
import type { FrozenMemory } from "./warm-memory.js";

/** Calls after which files or directories may differ. */
const CHANGING =
  /^(fd_(allocate|filestat_set_size|filestat_set_times|pwrite|write)|path_(create|filestat_set|link|open|remove|rename|symlink|unlink))/;

/** All that a failure leaves, and where the world outside stands. */
export interface Remains {
  readonly machine: MachineState;
  readonly memories: readonly FrozenMemory[];
  readonly wasi: unknown;
  readonly moment: SimulatedMoment;
  /** Bytes written so far. */
  readonly stdoutByteLength: number;
  readonly stderrByteLength: number;
  readonly files: Sandbox;
}

/** Who watches a run. */
export interface Watcher extends PersistencePoints {
  /** True: the call is interrupted if it waits. */
  beforeCall(name: string): boolean;
  /** It was interrupted, and will be made again. */
  interrupted(name: string): void;
  afterCall(name: string): void;
}

export class Vessel {
  readonly sandbox: Sandbox;
  readonly stdio: GuestStdio;
  readonly #program: Program;
  readonly #subject: Subject;
  readonly #watcher: Watcher | undefined;
  readonly #time: SimulatedTime;
  #wasi: Wasi | undefined;
  #machine: Machine | undefined;
  #memories: WebAssembly.Memory[] = [];
  #loaded: readonly FrozenMemory[] = [];
  #interrupting = false;
  /** The last state that was saved needs some. */
  #keepsFiles = false;
  /** Any descriptor may be any file. */
  #renumbered = false;
  /** The machine has run a state whose traces might stay in it. */
  #stained = false;

  constructor(program: Program, subject: Subject, folder: string, watcher?: Watcher) {
    this.#program = program;
    this.#subject = subject;
    this.#watcher = watcher;
    this.#time = new SimulatedTime(subject.seed);
    mkdirSync(folder, { recursive: true });
    this.sandbox = new Sandbox(join(folder, "files"), subject.preopens);
    this.stdio = new GuestStdio(folder, subject.stdin);
    const { features } = program.graph;
    this.#stained = features.changesTables || features.segmentOperations.size > 0;
  }

  get machine(): Machine {
    invariant(this.#machine !== undefined, "a vessel has a machine once it was started or loaded");
    return this.#machine;
  }

  get memories(): readonly WebAssembly.Memory[] {
    return this.#memories;
  }

  get moment(): SimulatedMoment {
    return this.#time.moment;
  }

  /** The system interface's state, as a failure would save it. */
  saveWasi(): unknown {
    const state = this.#wasi?.save({ flush: false });
    if (this.#subject.preopens.length === 0) return state;
    const kept = keptFilesOf(state);
    if (kept.length > 0 || this.#keepsFiles) removeUnusedFiles(this.sandbox.folder, () => new Set(kept));
    this.#keepsFiles = kept.length > 0;
    if (this.#keepsFiles) this.sandbox.changed();
    return state;
  }

  /** A clean start with fresh copies of the user's files. */
  start(entry: EntryCall, injection: Injection = {}, askAtSafepoint?: number): Outcome {
    this.sandbox.fill();
    return this.startHere(entry, injection, askAtSafepoint);
  }

  /** A clean start with the files that are there. */
  startHere(entry: EntryCall, injection: Injection = {}, askAtSafepoint?: number): Outcome {
    this.stdio.open(0, 0);
    this.#replaceWasi(() => Wasi.create(this.#wasiOptions()));
    this.#machine = new Machine(this.#program, this.#machineHost());
    if (askAtSafepoint !== undefined) this.#machine.askAtSafepoint(askAtSafepoint);
    return this.#machine.start(entry.exportName, entry.args, injection);
  }

  /** What stands after a power failure and a resume; `fresh`: in a new machine, even if the old one would do. */
  load(remains: Remains, fresh: boolean): void {
    this.sandbox.copyFrom(remains.files);
    this.#time.moment = remains.moment;
    this.stdio.open(remains.stdoutByteLength, remains.stderrByteLength);
    this.#replaceWasi(() => Wasi.restore(this.#wasiOptions(), remains.wasi));
    this.#provideMachine(
      remains.memories.map(({ byteLength }) => byteLength),
      fresh,
    );
    remains.memories.forEach((frozen, index) => {
      frozen.store.load(frozen, this.#memory(index));
    });
    this.#loaded = remains.memories;
    this.machine.restore(remains.machine);
  }

  /** The power has failed again since remains were loaded: what this vessel holds, taken over again. */
  reload(state: MachineState, fresh: boolean): void {
    const wasi = this.saveWasi();
    const before = this.#memories;
    this.#replaceWasi(() => Wasi.restore(this.#wasiOptions(), wasi));
    this.#provideMachine(
      before.map(({ buffer }) => buffer.byteLength),
      fresh,
    );
    before.forEach((memory, index) => {
      const now = this.#memory(index);
      if (now !== memory) this.#loaded[index]?.store.copy(memory, now);
    });
    this.machine.restore(state);
  }

  resume(injection: Injection = {}): Outcome {
    return this.machine.resume({ callback: true, injection });
  }

  /** Of an idle guest. */
  call(entry: EntryCall): Outcome {
    return this.machine.call(entry, {});
  }

  /** It can be loaded or started again; its files stay. */
  close(): void {
    this.#wasi?.close();
    this.#wasi = undefined;
    this.#machine = undefined;
    this.stdio.close();
  }

  #provideMachine(byteLengths: readonly number[], fresh: boolean): void {
    const fits = byteLengths.every((byteLength, i) => (this.#memories[i]?.buffer.byteLength ?? 0) <= byteLength);
    if (this.#machine === undefined || fresh || this.#stained || !fits) {
      this.#machine = new Machine(this.#program, this.#machineHost()); // L2
    } else this.#bind(0, this.#memory(0));
    byteLengths.forEach((byteLength, index) => {
      const memory = this.#memory(index);
      const missing = byteLength - memory.buffer.byteLength;
      if (missing > 0) memory.grow(missing / WASM_PAGE_BYTE_LENGTH);
    });
  }

  #memory(index: number): WebAssembly.Memory {
    const memory = this.#memories[index];
    invariant(memory !== undefined, "a machine has the memories of its module");
    return memory;
  }

  #replaceWasi(make: () => Wasi): void {
    this.#wasi?.close();
    this.#wasi = undefined;
    this.#wasi = make();
  }

  #wasiOptions(): Parameters<typeof Wasi.create>[0] {
    return {
      args: this.#subject.args,
      env: this.#subject.env,
      preopens: this.sandbox.preopens,
      stdio: this.stdio.descriptors,
      keptFilesDirectory: this.sandbox.keptFiles,
      onChangedFile: "ignore", // a copy of a file is another one
      simulation: this.#time,
    };
  }

  #machineHost(): MachineHost {
    this.#memories = [];
    const functions: Record<string, HostFunction> = {};
    const unstable: Record<string, HostFunction> = {};
    for (const name of Object.keys(this.#wasi?.functions ?? {})) {
      functions[name] = (...args) => this.#call("functions", name, args);
      unstable[name] = (...args) => this.#call("unstableFunctions", name, args);
    }
    return {
      functions: { [VERMILION_MODULE]: pmemCalls(), wasi_snapshot_preview1: functions, wasi_unstable: unstable },
      attachMemory: (index, memory) => {
        this.#memories[index] = memory;
        this.#bind(index, memory);
      },
      growMemory: () => true,
      failurePending: () => false,
      ...(this.#watcher === undefined ? {} : { points: this.#watcher }),
      exitStatus: (error) => (error instanceof ProcessExit ? error.status : undefined),
    };
  }

  #bind(index: number, memory: WebAssembly.Memory): void {
    if (index !== 0) return;
    this.#wasi?.bind({
      memory,
      memoryAddress: libc().addressOf(memory.buffer),
      failurePending: () => this.#interrupting,
      wakeDescriptor: -1,
    });
  }

  #call(table: "functions" | "unstableFunctions", name: string, args: (number | bigint)[]): ReturnType<HostFunction> {
    if (name === "fd_renumber") this.#renumbered = true;
    if (CHANGING.test(name) && !onlyReads(name, args) && (this.#renumbered || !isOutput(name, args))) {
      this.sandbox.changed();
    }
    this.#interrupting = this.#watcher?.beforeCall(name) === true;
    const result = this.#wasi?.[table][name]?.(...args);
    this.#interrupting = false;
    if (result === RESTART) this.#watcher?.interrupted(name);
    else this.#watcher?.afterCall(name);
    return result;
  }
}

/** Opens what is there. */
function onlyReads(name: string, args: readonly (number | bigint)[]): boolean {
  return name === "path_open" && (Number(args[4]) & (Oflags.CREAT | Oflags.TRUNC)) === 0;
}

function isOutput(name: string, [descriptor]: readonly (number | bigint)[]): boolean {
  return name.startsWith("fd_") && (descriptor === 1 || descriptor === 2);
}
