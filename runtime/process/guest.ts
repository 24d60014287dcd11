/**
 * A guest and its image in the worker that runs it: prepared, run once, closed.
 *
 *     prepared --run--> exited | trapped | powerFailed (saved)          prepared --cancelled--> powerFailed (epoch as before)
 *
 * G1  No guest code runs before the image is marked running. Whatever can be wrong with a saved state is found before
 *     that, by the constructor.
 * G2  A save is, in this order: frames spilled (machine), open files flushed and described (wasi), image committed. Each
 *     step only adds what nothing names yet; the commit's last write is the persistence point.
 * G3  Whatever fails after G1 leaves the image running: it goes on from the epoch before, or, if that is gone (no save
 *     yet, or memory written in place), not at all. Never from a mix.
 */
import { invariant, VermilionError } from "../../pmem/error.js";
import { libc } from "../../pmem/libc.js";
import type { MemoryBacking } from "../../pmem/memory-backing.js";
import { Errno, ProcessExit, Wasi, type WasiEnvironment } from "../wasi/index.js";
import type { Command } from "./command.js";
import type { ControlBlock } from "./control-block.js";
import { type FailurePlan, plannedSafepoint } from "./failure-source.js";
import { Image } from "./image/image.js";
import type { ImageState } from "./image/state-file.js";
import { checkImports } from "./imports.js";
import { entryOf, formatResults } from "./invocation.js";
import { Machine, type Outcome as MachineOutcome } from "./machine.js";
import type { Injection, MachineHost } from "./machine-host.js";
import { openFiles, removeUnusedFiles } from "./open-files.js";
import { type OpenedImage, openImage } from "./opened-image.js";
import { frameCountOf } from "./process-state.js";
import { Program } from "./program.js";
import type { Outcome, PrepareOrder, Report, RunOrder } from "./protocol.js";

const PAGE_BYTE_LENGTH = 65_536;
const MEMORY32_MAXIMUM_PAGES = 65_536;

export class Guest {
  readonly command: Command;
  readonly resumes: { readonly epoch: number; readonly frames: number } | undefined;
  readonly #control: ControlBlock;
  readonly #program: Program;
  readonly #image: Image;
  readonly #state: ImageState | undefined;
  readonly #wasi: Wasi;
  readonly #machine: Machine;
  readonly #wakeDescriptor: number;

  /** Everything short of running. Whatever it opened is closed again if it throws. */
  constructor(order: PrepareOrder, control: ControlBlock, tell: (report: Report) => void) {
    const notice = (message: string) => tell({ kind: "notice", message });
    const load = (bytes: Uint8Array, path: string, command: Command | undefined): Program =>
      naming(path, () => {
        const program = Program.load(bytes, {
          cacheDirectory: order.cacheDirectory,
          exact: order.exact,
          onInstrument: (byteLength) => tell({ kind: "instrumenting", byteLength }),
        });
        checkImports(program.module);
        if (command !== undefined) entryOf(program.module, command); // throws
        return program;
      });
    const opened: OpenedImage = openImage(order, { load, notice });
    this.#control = control;
    this.#program = opened.program;
    this.#image = opened.image;
    this.#state = opened.state;
    this.command = opened.command;
    this.resumes = opened.state && {
      epoch: opened.image.header.epoch,
      frames: frameCountOf(opened.state, opened.image.path),
    };
    const closers: (() => void)[] = [() => this.#discardImage()];
    try {
      this.#wakeDescriptor = createWakeDescriptor();
      control.setWakeDescriptor(this.#wakeDescriptor); // stays open: the main thread may be about to write to it
      const options = {
        args: opened.command.args,
        env: opened.command.env,
        preopens: opened.command.preopens,
        stdio: order.stdio,
        keepAliveDirectory: openFiles(opened.image.path),
        onChangedFile: order.onChangedFile,
        warn: notice,
      };
      this.#wasi = opened.state === undefined ? Wasi.create(options) : Wasi.restore(options, opened.state.wasi);
      closers.push(() => this.#wasi.close());
      this.#machine = new Machine(opened.program, this.#machineHost());
      this.#checkMemories();
      if (opened.state !== undefined) this.#machine.restore(opened.state.machine);
    } catch (error) {
      for (const close of closers.reverse()) close();
      throw error;
    }
  }

  get imagePath(): string {
    return this.#image.path;
  }

  /** Runs until the guest ends or a failure is saved, and closes everything. `running` is called once the guest may store. */
  run(order: RunOrder, running: () => void): Outcome {
    if (!this.#control.beginRunning()) {
      this.discard();
      return this.#cancelled();
    }
    try {
      this.#image.markRunning(); // G1
      running();
      return this.#ended(this.#execute(order));
    } finally {
      this.#wasi.close();
      this.#image.close();
    }
  }

  /** Instead of a run: leaves everything as it was found. */
  discard(): void {
    this.#wasi.close();
    this.#discardImage();
  }

  #discardImage(): void {
    this.#image.close();
    if (this.#state === undefined) Image.remove(this.#image.path); // made for this guest, and nothing has run in it
  }

  #execute({ plan, eintr }: RunOrder): MachineOutcome {
    const injection = injectionOf(plan, this.#image.header.epoch);
    if (this.#state === undefined) {
      const { exportName, args } = entryOf(this.#program.module, this.command);
      return this.#machine.start(exportName, args, injection);
    }
    if (eintr) this.#wasi.forgetInterrupted();
    return this.#machine.resume({
      callback: true,
      ...(eintr ? { interruptedErrno: Errno.INTR } : {}),
      injection,
    });
  }

  #ended(outcome: MachineOutcome): Outcome {
    switch (outcome.kind) {
      case "returned":
        this.#image.finish(0);
        return {
          kind: "exited",
          status: 0,
          results: formatResults(this.#program.module, this.command, outcome.results),
        };
      case "exited":
        this.#image.finish(outcome.status);
        return { kind: "exited", status: outcome.status, results: [] };
      case "trapped":
        this.#image.trap(outcome.error.message);
        return { kind: "trapped", message: outcome.error.message };
      case "suspended":
        if (this.#control.killed)
          throw new VermilionError("PROCESS_CLOSED", `${this.#image.path}: the guest was killed`);
        return this.#save(outcome);
    }
  }

  /** G2. */
  #save({ state, frames }: Extract<MachineOutcome, { kind: "suspended" }>): Outcome {
    const startedAt = performance.now();
    const wasi = this.#wasi.save();
    this.#image.commit({ machine: state, wasi, process: { frames } });
    const saveMilliseconds = performance.now() - startedAt;
    removeUnusedFiles(this.#image.path, wasi);
    return { kind: "powerFailed", epoch: this.#image.header.epoch, frames, saveMilliseconds };
  }

  #cancelled(): Outcome {
    const { epoch, frames } = this.resumes ?? { epoch: 0, frames: 0 };
    return { kind: "powerFailed", epoch, frames, saveMilliseconds: 0 };
  }

  #machineHost(): MachineHost {
    return {
      functions: { wasi_snapshot_preview1: this.#wasi.functions, wasi_unstable: this.#wasi.unstableFunctions },
      attachMemory: (index, memory) => this.#attachMemory(index, memory),
      growMemory: (index, byteLength) => this.#growMemory(index, byteLength),
      failurePending: () => this.#control.failurePending,
      exitStatus: (error) => (error instanceof ProcessExit ? error.status : undefined),
    };
  }

  #attachMemory(index: number, memory: WebAssembly.Memory): void {
    const backing = this.#state === undefined ? this.#createMemory(memory) : this.#savedMemory(index, memory);
    const maximum = this.#program.module.memories[index]?.maximum ?? MEMORY32_MAXIMUM_PAGES;
    backing.attach(memory, Math.min(maximum, MEMORY32_MAXIMUM_PAGES) * PAGE_BYTE_LENGTH);
    if (index === 0) this.#wasi.bind(this.#environment(memory, backing.address));
  }

  #createMemory(memory: WebAssembly.Memory): MemoryBacking {
    const { byteLength } = memory.buffer;
    if (this.#exceedsLimit(byteLength)) throw tooMuchMemory(byteLength, this.command);
    const backing = this.#image.createMemory();
    if (!backing.grow(byteLength))
      throw backing.growthRefusal ?? new VermilionError("DISK_FULL", `${backing.path}: no room`);
    return backing;
  }

  #savedMemory(index: number, memory: WebAssembly.Memory): MemoryBacking {
    const backing = this.#image.memories[index];
    const missing = (backing?.byteLength ?? 0) - memory.buffer.byteLength;
    if (backing === undefined || missing < 0) throw this.#misfit(`memory ${index} is shorter than the module's`);
    try {
      if (missing > 0) memory.grow(missing / PAGE_BYTE_LENGTH);
    } catch (cause) {
      throw this.#misfit(`memory ${index} is longer than the module allows`, cause);
    }
    return backing;
  }

  #growMemory(index: number, byteLength: number): boolean {
    const backing = this.#image.memories[index];
    invariant(backing !== undefined, `memory ${index} has a backing`);
    if (this.#exceedsLimit(byteLength - backing.byteLength)) return false;
    return backing.grow(byteLength);
  }

  #exceedsLimit(moreBytes: number): boolean {
    const limit = this.command.maxMemoryByteLength;
    if (limit === null) return false;
    return this.#image.memories.reduce((sum, { byteLength }) => sum + byteLength, moreBytes) > limit;
  }

  #environment(memory: WebAssembly.Memory, memoryAddress: number): WasiEnvironment {
    return {
      memory,
      memoryAddress,
      failurePending: () => this.#control.failurePending,
      wakeDescriptor: this.#wakeDescriptor,
    };
  }

  #checkMemories(): void {
    const expected = this.#program.module.memories.length;
    if (this.#image.memories.length !== expected) {
      throw this.#misfit(`it has ${this.#image.memories.length} memories and the module ${expected}`);
    }
  }

  #misfit(reason: string, cause?: unknown): VermilionError {
    const next = "the image cannot be used: restore it from a copy, or start again with --fresh";
    return new VermilionError("IMAGE_DAMAGED", `${this.#image.path}: ${reason}; ${next}`, { cause });
  }
}

/** What is wrong with a module is said by layers that do not know its name. */
function naming<Result>(path: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof VermilionError)) throw error;
    throw new VermilionError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

function createWakeDescriptor(): number {
  const descriptor = libc().createEvent();
  if (descriptor >= 0) return descriptor;
  throw new VermilionError(
    "TOO_MANY_OPEN_FILES",
    `cannot create an event descriptor (errno ${-descriptor}); raise ulimit -n`,
  );
}

function injectionOf(plan: FailurePlan, epoch: number): Injection {
  const atSafepoint = plannedSafepoint(plan, epoch);
  return {
    ...(atSafepoint === undefined ? {} : { atSafepoint }),
    ...(plan.atCall === undefined ? {} : { atCall: plan.atCall }),
  };
}

function tooMuchMemory(byteLength: number, { maxMemoryByteLength }: Command): VermilionError {
  return new VermilionError(
    "MEMORY_LIMIT",
    `the module begins with ${byteLength} bytes of memory, more than max-memory-size=${maxMemoryByteLength} allows; raise it`,
  );
}
