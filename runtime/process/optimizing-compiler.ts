/**
 * Compiling with the engine's optimising tier, at once and whole, so that nothing is ever run in baseline code.
 *
 * For the guest's thread the main thread does it. Either the guest waits, but a power failure must not wait for a compiler, and
 * when the main thread is busy with its own work nothing comes, and the guest goes on without; or it runs on meanwhile.
 */
import { setFlagsFromString } from "node:v8";
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { ControlBlock } from "./control-block.js";
import { READ_HINTS, SOON_COMPILED, UNREAD_HINTS, V8_VERSION } from "./engine-flags.js";

/** Bytes of function bodies that the optimising tier compiles in a millisecond, as long as nobody has measured it here. */
export const OPTIMIZING_SPEED = 150;

/** Undefined: there is none now. */
export type Compile = (bytes: Uint8Array) => WebAssembly.Module | undefined;

export interface Compiled {
  /** Undefined: it was not compiled. */
  readonly module: WebAssembly.Module | undefined;
}

/** While the guest runs; one at a time. */
export interface BackgroundCompiler {
  /** Whether it can make optimised code. */
  readonly isOptimizing: boolean;
  begin(bytes: Uint8Array, optimized: boolean): void;
  /** What became of what was begun, once; undefined: nothing yet. */
  finished(): Compiled | undefined;
}

/**
 * From version 12 on the engine optimises a function by what it has seen in baseline code, also of functions that it inlines.
 * One that a thread of the program compiles for the first time while there is no baseline tier has seen nothing. So it is asked
 * there only while the guest waits, and by flags for all code. Before, it optimises what asks for it, and the guest's own code is
 * compiled as ever meanwhile.
 */
const MAY_OPTIMIZE_WHILE_GUEST_RUNS = V8_VERSION < 12;

/** By flags of the whole engine, for as long as one compilation takes: all that is compiled then is optimised. */
export const OPTIMIZED = ["--no-liftoff", "--no-wasm-lazy-compilation"];
export const USUAL = ["--liftoff", "--wasm-lazy-compilation"];

interface Request {
  readonly number: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly optimized: boolean;
  /** Flags of the guest's, to be set again behind it. */
  readonly flags: readonly string[];
}

interface Answer extends Compiled {
  readonly number: number;
}

/** Main thread: compiles what comes in by a port, one after the other, and keeps nothing alive for it. */
export function serveCompiler(port: MessagePort, control: ControlBlock): void {
  let last: Promise<unknown> = Promise.resolve();
  port.on("message", (request: Request) => {
    const { number, bytes, optimized } = request;
    const answer = async (): Promise<void> => {
      const compiling = optimized ? optimize(request, control) : WebAssembly.compile(bytes);
      const module = await compiling.catch(() => undefined); // more than the engine takes: the guest goes on without
      port.postMessage({ number, module } satisfies Answer);
      control.wakeWaiting();
    };
    last = last.then(answer);
  });
  port.unref();
}

/** Undefined: nobody waits for it any more. */
async function optimize(
  { number, bytes, flags }: Request,
  control: ControlBlock,
): Promise<WebAssembly.Module | undefined> {
  const [asked, unasked] = MAY_OPTIMIZE_WHILE_GUEST_RUNS
    ? [
        [...READ_HINTS, ...SOON_COMPILED],
        [...UNREAD_HINTS, ...flags],
      ]
    : [OPTIMIZED, USUAL];
  const ask = () => asked.forEach(setFlagsFromString);
  if (MAY_OPTIMIZE_WHILE_GUEST_RUNS) ask();
  else if (!control.beginOptimizing(number, ask)) return undefined;
  try {
    return await WebAssembly.compile(bytes);
  } finally {
    unasked.forEach(setFlagsFromString); // before the answer: the guest goes on with that
    control.endOptimizing();
  }
}

const LONGEST_WAIT_MS = 2000;
const LOOK_EVERY_MS = 5;

/** Guest's thread: has the other end of the port compile. */
export class RemoteCompiler implements BackgroundCompiler {
  /** Whether `compile` may be called. */
  readonly optimizes: boolean;
  readonly isOptimizing = MAY_OPTIMIZE_WHILE_GUEST_RUNS;
  readonly #port: MessagePort;
  readonly #control: ControlBlock;
  #asked = 0;
  /** The number of what the guest does not wait for. */
  #begun = 0;
  #finished: Compiled | undefined;
  #flags: readonly string[] = [];

  constructor(port: MessagePort, control: ControlBlock, optimizes: boolean) {
    this.#port = port;
    this.#control = control;
    this.optimizes = optimizes;
  }

  /** Sets flags of the engine for the guest's own code. */
  setFlags(flags: readonly string[]): void {
    flags.forEach(setFlagsFromString);
    this.#flags = flags;
  }

  /** Waits for it, but no more once a failure comes. */
  readonly compile: Compile = (bytes) => {
    const number = this.#asked + 1;
    this.#control.requestOptimizing(number);
    this.#ask(bytes, true);
    const deadline = performance.now() + LONGEST_WAIT_MS;
    while (performance.now() < deadline && !this.#control.failurePending) {
      const answer = this.#receive();
      if (answer === undefined) this.#control.waitForFailure(LOOK_EVERY_MS);
      else if (answer.number === number) return answer.module; // earlier ones came too late
    }
    // What the guest goes on to compile, the unwinding included, is not to be optimised first: that takes time.
    if (!this.#control.cancelOptimizing(number)) USUAL.forEach(setFlagsFromString);
    return undefined;
  };

  begin(bytes: Uint8Array, optimized: boolean): void {
    this.#begun = this.#ask(bytes, optimized);
  }

  finished(): Compiled | undefined {
    while (this.#finished === undefined && this.#receive() !== undefined);
    const finished = this.#finished;
    this.#finished = undefined;
    return finished;
  }

  #ask(bytes: Uint8Array, optimized: boolean): number {
    this.#asked++;
    this.#port.postMessage({ number: this.#asked, bytes, optimized, flags: this.#flags });
    return this.#asked;
  }

  #receive(): Answer | undefined {
    const received: { message: Answer } | undefined = receiveMessageOnPort(this.#port);
    if (received?.message.number === this.#begun) this.#finished = received.message;
    return received?.message;
  }
}
