/** What a worker is started with. Not beside the messages: those are part of the public types, which need nothing of Node's. */
import type { MessagePort } from "node:worker_threads";
import type { End } from "./code-cache.js";

export interface WorkerData {
  readonly control: SharedArrayBuffer;
  /** Takes the bytes of modules and gives them back compiled: see optimizing-compiler.ts. */
  readonly compiler: MessagePort;
  /** Whether the main thread is to wake at once: see libc().runPromptly. */
  readonly promptMainThread: boolean;
  /** Whether freed memory stays this program's: see libc().keepFreedMemory. */
  readonly keepFreedMemory: boolean;
  /** Of the engine, for the whole program; the worker sets them before it compiles a guest. */
  readonly engineFlags: readonly string[];
  /** What the worker is for: its compiled code is kept under that name. Undefined: it is not kept. */
  readonly purpose: string | undefined;
  /** Of the main thread, which a worker does not see. */
  readonly execArgv: readonly string[];
  /** Keeps the compiled code, before the program ends. */
  keepCode?: (end: End) => void;
}
