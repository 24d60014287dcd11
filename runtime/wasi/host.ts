import type { Clocks } from "./clock.js";
import type { Descriptor, DescriptorTable } from "./descriptors.js";
import { Errno, fromLinux } from "./errno.js";
import type { InterruptedCalls } from "./interrupted.js";
import type { Libc } from "./libc.js";
import type { GuestMemory } from "./memory.js";
import type { ResolvedOptions } from "./options.js";
import type { RandomBytes } from "./random.js";
import type { PathArgument, Resolver } from "./resolve.js";
import type { HostBuffer } from "./scratch.js";

/**
 * What a host call returns when a failure is pending and nothing has happened yet: the caller saves the process and makes
 * the same call again after the resume.
 */
export const RESTART = -1;

/** Thrown by proc_exit, caught in one place by whoever runs the guest. */
export class ProcessExit extends Error {
  override readonly name = "ProcessExit";
  /** As the guest gave it, unsigned. */
  readonly status: number;

  constructor(status: number) {
    super(`the guest exited with status ${status}`);
    this.status = status;
  }
}

/** What the host calls need of the running process; implemented by runtime/process. */
export interface WasiEnvironment {
  readonly memory: WebAssembly.Memory;
  /** Address of byte 0 of the memory in this process; never moves. */
  readonly memoryAddress: number;
  /** Whether a power failure was signalled, or anything else that wants the guest stopped: blocking calls return RESTART. */
  failurePending(): boolean;
  /** An eventfd that becomes readable when a failure is signalled; -1: none. */
  readonly wakeDescriptor: number;
}

/** Everything a host call works with. One per process; the guest's calls come one at a time. */
export class WasiHost {
  readonly libc: Libc;
  readonly scratch: HostBuffer;
  readonly options: ResolvedOptions;
  readonly table: DescriptorTable;
  readonly clocks: Clocks;
  readonly random: RandomBytes;
  readonly resolver: Resolver;
  readonly interrupted: InterruptedCalls;
  /** The two path arguments that one call can have. */
  readonly pathA: PathArgument;
  readonly pathB: PathArgument;
  /** Host descriptors of the granted directories, in the order of the options; only the host uses them. */
  readonly roots: number[];
  memory!: GuestMemory; // set by bind, before the guest runs
  environment: WasiEnvironment | undefined = undefined;

  constructor(fields: {
    libc: Libc;
    scratch: HostBuffer;
    options: ResolvedOptions;
    table: DescriptorTable;
    clocks: Clocks;
    random: RandomBytes;
    resolver: Resolver;
    interrupted: InterruptedCalls;
    pathA: PathArgument;
    pathB: PathArgument;
    roots: number[];
  }) {
    this.libc = fields.libc;
    this.scratch = fields.scratch;
    this.options = fields.options;
    this.table = fields.table;
    this.clocks = fields.clocks;
    this.random = fields.random;
    this.resolver = fields.resolver;
    this.interrupted = fields.interrupted;
    this.pathA = fields.pathA;
    this.pathB = fields.pathB;
    this.roots = fields.roots;
  }

  /** The WASI error of the libc call that just returned -1. */
  lastError(): Errno {
    return fromLinux(this.libc.errno());
  }

  /** The WASI error of a libc call's result. */
  check(result: number): Errno {
    return result === -1 ? this.lastError() : Errno.SUCCESS;
  }

  close(descriptor: Descriptor): void {
    if (descriptor.owned && descriptor.host >= 0) this.libc.close(descriptor.host);
    descriptor.host = -1;
  }
}
