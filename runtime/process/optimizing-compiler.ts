/**
 * Compiling with the engine's optimising tier, at once and whole, so that nothing is ever run in baseline code.
 *
 * For the guest's thread the main thread does it: the guest waits, but a power failure must not wait for a compiler. Only
 * when the main thread is busy with its own work does nothing come; the guest then goes on without.
 */
import { setFlagsFromString } from "node:v8";
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { ControlBlock } from "./control-block.js";

/** Undefined: there is none now. */
export type Compile = (bytes: Uint8Array) => WebAssembly.Module | undefined;

/** Neither tier is chosen by module but by flags of the whole engine, for as long as one compilation takes. */
const OPTIMIZED = ["--no-liftoff", "--no-wasm-lazy-compilation"];
const USUAL = ["--liftoff", "--wasm-lazy-compilation"];

/** In this thread. */
export function compileOptimized(bytes: Uint8Array): WebAssembly.Module {
  OPTIMIZED.forEach(setFlagsFromString);
  try {
    return new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  } finally {
    USUAL.forEach(setFlagsFromString);
  }
}

/** Main thread: compiles what comes in by a port, and keeps nothing alive for it. */
export function serveCompiler(port: MessagePort, control: ControlBlock): void {
  port.on("message", async (bytes: Uint8Array<ArrayBuffer>) => {
    OPTIMIZED.forEach(setFlagsFromString);
    try {
      port.postMessage(await WebAssembly.compile(bytes));
    } finally {
      USUAL.forEach(setFlagsFromString);
      control.wakeWaiting();
    }
  });
  port.unref();
}

const LONGEST_WAIT_MS = 2000;
const LOOK_EVERY_MS = 5;

/** Guest's thread: has the other end of the port compile, and stops waiting when a failure comes. */
export function remoteCompiler(port: MessagePort, control: ControlBlock): Compile {
  let asked = 0;
  let answered = 0;
  return (bytes) => {
    asked++;
    port.postMessage(bytes);
    const deadline = performance.now() + LONGEST_WAIT_MS;
    while (performance.now() < deadline && !control.failurePending) {
      const answer: { message: WebAssembly.Module } | undefined = receiveMessageOnPort(port);
      if (answer === undefined) control.waitForFailure(LOOK_EVERY_MS);
      else if (++answered === asked) return answer.message; // earlier ones came too late
    }
    return undefined;
  };
}
