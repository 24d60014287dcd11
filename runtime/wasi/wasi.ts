import { constants } from "node:fs";
import { errnoError, invariant } from "../../pmem/error.js";
import { Filetype, RIGHTS_ALL, RIGHTS_PREOPEN } from "./abi.js";
import { type ClockReadings, Clocks } from "./clock.js";
import { type DescriptorSummary, summarize } from "./describe.js";
import { Descriptor, DescriptorTable, Transport } from "./descriptors.js";
import { interruptedResult } from "./fd-io.js";
import { preview1Functions, unstableFunctions, type WasiFunction } from "./functions.js";
import { type WasiEnvironment, WasiHost } from "./host.js";
import { InterruptedCalls } from "./interrupted.js";
import { type Libc, libc } from "./libc.js";
import { AT_FDCWD, O_CLOEXEC } from "./linux-flags.js";
import { openListener } from "./listen.js";
import { GuestMemory } from "./memory.js";
import { Observer } from "./observer.js";
import { DESCRIPTORS_MAXIMUM, resolveOptions, type WasiOptions } from "./options.js";
import { RandomBytes } from "./random.js";
import { PathArgument, Resolver } from "./resolve.js";
import { restoreDescriptors } from "./restore.js";
import { type SaveOptions, saveState } from "./save.js";
import { HostBuffer, SCRATCH } from "./scratch.js";
import { parseInterrupted, parseState, type SavedState } from "./state.js";
import { stdioDescriptor } from "./stdio.js";

const RLIMIT_NOFILE = 7;
const RESERVED_DESCRIPTORS = 128;

/**
 * The system interface of one process: its descriptors, clocks and interrupted calls. Made where the guest runs: the
 * thread's CPU clock is that of the calling thread.
 *
 * created or restored -> bound (the guest may run; any number of calls and saves) -> closed
 */
export class Wasi {
  /** The calls of wasi_snapshot_preview1. */
  readonly functions: Readonly<Record<string, WasiFunction>>;
  /** The calls of wasi_unstable, for guests from before 2020. */
  readonly unstableFunctions: Readonly<Record<string, WasiFunction>>;
  readonly #host: WasiHost;
  #observer: Observer | undefined;

  private constructor(host: WasiHost) {
    this.#host = host;
    this.functions = preview1Functions(host);
    this.unstableFunctions = unstableFunctions(host);
  }

  /**
   * A fresh start. Descriptors: stdio at 0 to 2, then listening sockets, then preopened directories.
   * NOT_FOUND and its like: a preopen cannot be opened. LISTEN_ADDRESS. FFI_MISSING.
   */
  static create(options: WasiOptions): Wasi {
    return Wasi.#make(options, true);
  }

  /** Throws what `create` would. Nobody can connect to what is opened meanwhile, to find the connection cut. */
  static tryOut(options: WasiOptions): void {
    Wasi.#make(options, false).close();
  }

  static #make(options: WasiOptions, listening: boolean): Wasi {
    const host = makeHost(options, undefined);
    guarded(host, () => {
      for (const stream of [0, 1, 2] as const) host.table.add(stdioDescriptor(host, stream));
      for (const [index, address] of host.options.listen.entries()) {
        host.table.add(openListener(host.libc, host.scratch, address, undefined, index, listening));
      }
      for (const index of host.options.preopens.keys()) host.table.add(preopenDescriptor(host, index));
    });
    return new Wasi(host);
  }

  /**
   * A saved process again. Files are opened again, never created or cut, and only beneath the directories of `options`.
   * IMAGE_DAMAGED: the state is not one. PREOPEN_MISSING: a directory of the saved process is not granted. FILE_CHANGED:
   * a file is not as it was, and `onChangedFile` is "fail".
   */
  static restore(options: WasiOptions, state: unknown): Wasi {
    const saved = parseState(state);
    const host = makeHost(options, saved);
    guarded(host, () => {
      restoreDescriptors(host, saved.descriptors, (index) => preopenDescriptor(host, index));
    });
    return new Wasi(host);
  }

  /** Before the guest runs, and again whenever it gets another memory. */
  bind(environment: WasiEnvironment): void {
    this.#host.environment = environment;
    this.#host.memory = new GuestMemory(environment.memory, environment.memoryAddress);
  }

  /**
   * The state, for JSON. Files that the guest can write are flushed first unless `flush` is false; files without a name are
   * copied into the directory of kept files. The guest may go on afterwards.
   */
  save(options: SaveOptions = {}): unknown {
    return saveState(this.#host, options);
  }

  /** The result of a call that was interrupted and is not to be made again: INTR, or success for what was done of it. */
  interruptedResult(name: string, args: readonly (number | bigint)[]): number {
    return interruptedResult(this.#host, name, args);
  }

  describeDescriptors(): readonly DescriptorSummary[] {
    return summarize(this.#host);
  }

  /** For a log of the calls. */
  get observer(): Observer {
    this.#observer ??= new Observer(this.#host);
    return this.#observer;
  }

  /** How paths are resolved on this machine. */
  get resolver(): "openat2" | "walk" {
    return this.#host.resolver.name;
  }

  /** Closes every host descriptor that is ours. */
  close(): void {
    closeAll(this.#host);
  }
}

/** Runs the opening of descriptors; what is open already is closed again when it fails. */
function guarded(host: WasiHost, open: () => void): void {
  try {
    open();
  } catch (error) {
    closeAll(host);
    throw error;
  }
}

function closeAll(host: WasiHost): void {
  for (const [number, descriptor] of [...host.table.all()]) {
    host.table.remove(number);
    host.close(descriptor);
  }
  for (const root of host.roots.splice(0)) host.libc.close(root);
}

function makeHost(options: WasiOptions, saved: SavedState | undefined): WasiHost {
  const resolved = resolveOptions(options);
  const calls = libc();
  const scratch = new HostBuffer(calls, SCRATCH.byteLength);
  const readings: ClockReadings | undefined = saved && {
    monotonic: BigInt(saved.clocks.monotonic),
    processCpu: BigInt(saved.clocks.processCpu),
    threadCpu: BigInt(saved.clocks.threadCpu),
  };
  return new WasiHost({
    libc: calls,
    scratch,
    options: resolved,
    table: new DescriptorTable(
      Math.max(Math.min(resolved.maximumDescriptors, hostDescriptors(calls, scratch)), saved?.descriptors.length ?? 0),
    ),
    clocks: new Clocks(calls, scratch, readings, resolved.simulation),
    random: new RandomBytes(calls),
    resolver: new Resolver(calls, scratch, resolved.resolver === "kernel"),
    interrupted: new InterruptedCalls(saved ? parseInterrupted(saved.interrupted) : []),
    pathA: new PathArgument(scratch, SCRATCH.pathA),
    pathB: new PathArgument(scratch, SCRATCH.pathB),
    roots: openRoots(calls, scratch, resolved.preopens),
  });
}

/** How many descriptors the guest may take of the host's: saving needs some, and so does Node. */
function hostDescriptors(calls: Libc, scratch: HostBuffer): number {
  if (calls.getrlimit(RLIMIT_NOFILE, scratch.address + SCRATCH.small) === -1) return DESCRIPTORS_MAXIMUM;
  return Math.max(scratch.number(SCRATCH.small) - RESERVED_DESCRIPTORS, 16);
}

function openRoots(calls: Libc, scratch: HostBuffer, preopens: WasiOptions["preopens"]): number[] {
  const roots: number[] = [];
  for (const { host } of preopens) {
    const path = Buffer.from(`${host}\0`);
    const error = path.length > 4096 || path.indexOf(0) !== path.length - 1 ? 36 : 0; // ENAMETOOLONG
    path.copy(scratch.bytes, SCRATCH.pathA, 0, 4096);
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | O_CLOEXEC;
    const root = error === 0 ? calls.openat(AT_FDCWD, scratch.address + SCRATCH.pathA, flags, 0) : -1;
    if (root === -1) {
      const errno = error === 0 ? calls.errno() : error;
      for (const opened of roots) calls.close(opened);
      throw errnoError("open the directory for the guest", host, errno);
    }
    roots.push(root);
  }
  return roots;
}

/** A descriptor of its own for the guest, which may close it; the root stays with us. */
function preopenDescriptor(host: WasiHost, index: number): Descriptor {
  const root = host.roots[index];
  const preopen = host.options.preopens[index];
  invariant(root !== undefined && preopen !== undefined, "a preopen that was not opened");
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | O_CLOEXEC;
  const descriptor = host.libc.openat(root, host.scratch.setString(SCRATCH.small, "."), flags, 0);
  if (descriptor === -1) throw errnoError("open the directory for the guest", preopen.host, host.libc.errno());
  return new Descriptor({
    kind: "preopen",
    host: descriptor,
    owned: true,
    transport: Transport.NONE,
    filetype: Filetype.DIRECTORY,
    rights: RIGHTS_PREOPEN,
    inheriting: RIGHTS_ALL,
    fdflags: 0,
    readable: true,
    writable: false,
    index,
    path: preopen.guest,
  });
}
