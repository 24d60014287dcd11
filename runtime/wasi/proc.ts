import { Errno } from "./errno.js";
import { ProcessExit } from "./host.js";

/** proc_exit: never returns. */
export function procExit(status: number): never {
  throw new ProcessExit(status >>> 0);
}

/** proc_raise: NOTSUP, as in wasmtime. wasi-libc's emulated signals never call it. */
export function procRaise(_signal: number): Errno {
  return Errno.NOTSUP;
}

/** sched_yield: one guest thread, nothing to yield to. */
export function schedYield(): Errno {
  return Errno.SUCCESS;
}
