/**
 * The start of a guest's thread. Apart from session.ts, which speaks with it, and of few imports: the command line starts the
 * thread before it loads its own code, since nothing takes longer than Node's start of a thread.
 */
import { MessageChannel, SHARE_ENV, Worker } from "node:worker_threads";
import { ControlBlock } from "./control-block.js";
import { STACK_MEGABYTES } from "./stack-size.js";
import type { WorkerData } from "./worker-data.js";

/** What a program gives the threads of its guests. */
export interface ThreadOptions {
  /** Whether the main thread shall wake at once, at the price of shorter slices when others need its processor. */
  readonly promptMainThread?: boolean;
  /**
   * Flags of V8 for the whole program. The thread sets them when it is there, not earlier: Node's own code, compiled ahead, is
   * good for the flags that Node was built with, and is compiled again under others.
   */
  readonly engineFlags?: readonly string[];
  /** See libc().keepFreedMemory: for the whole program. */
  readonly keepFreedMemory?: boolean;
  /** What the thread is for: its compiled code is kept under that name, for the next start. */
  readonly purpose?: string;
}

/** To be adopted by a session before the event loop turns. Part of the public types, which need nothing of Node's. */
export interface GuestThread {
  /** What it was started with, for another thread in its place. */
  readonly options: ThreadOptions;
  /** A Worker. */
  readonly worker: object;
  readonly control: SharedArrayBuffer;
  /** The main thread's end of a MessageChannel. */
  readonly compiler: object;
}

export function startGuestThread(
  stackMegabytes: number = STACK_MEGABYTES.usual,
  options: ThreadOptions = {},
): GuestThread {
  const { promptMainThread = false, keepFreedMemory = false, engineFlags = [], purpose } = options;
  const { buffer: control } = ControlBlock.create();
  const { port1: compiler, port2 } = new MessageChannel();
  const workerData: WorkerData = {
    ...{ control, compiler: port2 },
    ...{ promptMainThread, keepFreedMemory, engineFlags, purpose, execArgv: process.execArgv },
  };
  const worker = new Worker(new URL("../process/worker-entry.cjs", import.meta.url), {
    workerData,
    transferList: [port2],
    resourceLimits: { stackSizeMb: stackMegabytes },
    execArgv: [], // what this program was started with (--eval, --input-type ...) is not for the worker
    env: SHARE_ENV, // nobody changes it there, and a copy takes milliseconds
    trackUnmanagedFds: false, // ours are closed by their owners; the FFI's are not known to Node anyway
    name: "vermilion guest",
  });
  return { options, worker, control, compiler };
}
