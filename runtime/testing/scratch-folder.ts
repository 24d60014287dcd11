/**
 * Folders for the files of guests under test, in memory where there is such a file system.
 *
 * T1  Whoever made a folder holds flock(2) on it until it is removed, or the process has died.
 * T2  Whoever makes one removes those that nobody holds: a kill leaves one, and the next exploration takes it away. One
 *     that was just made may not be held yet, and stays.
 */
import { closeSync, constants, existsSync, mkdtempSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LOCK, libc } from "../../pmem/libc.js";

const MEMORY = "/dev/shm";
const PREFIX = "vermilion-guests-";
/** Longer than it takes from making a folder to holding it. */
const NEW_MILLISECONDS = 60_000;
/** By which a user ends a program. */
const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class ScratchFolder {
  readonly path: string;
  readonly #descriptor: number | undefined;
  readonly #leave: () => void;
  readonly #remove = (): void => this.remove();

  /** `leave`: called before a signal ends the program, for those who write there to stop. */
  constructor(leave: () => void = () => {}) {
    this.#leave = leave;
    const parent = existsSync(MEMORY) ? MEMORY : tmpdir();
    removeLeft(parent);
    process.once("exit", this.#remove);
    for (const signal of ENDING_SIGNALS) process.on(signal, this.#end);
    this.path = mkdtempSync(join(parent, PREFIX));
    this.#descriptor = hold(this.path);
  }

  remove(): void {
    process.off("exit", this.#remove);
    for (const signal of ENDING_SIGNALS) process.off(signal, this.#end);
    // Again, if there is something new: a process that was killed finishes what it does in the kernel.
    rmSync(this.path, { recursive: true, force: true, maxRetries: 5, retryDelay: 10 });
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }

  /** What the signal does without us. If others listen, they say what becomes of the program. */
  readonly #end = (signal: NodeJS.Signals): void => {
    if (process.listenerCount(signal) > 1) return;
    this.#leave();
    this.remove();
    process.kill(process.pid, signal);
  };
}

/** T2. */
function removeLeft(parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(parent, name);
    try {
      const { uid, birthtimeMs } = statSync(path);
      if (uid !== process.getuid?.() || Date.now() - birthtimeMs < NEW_MILLISECONDS) continue;
      const descriptor = hold(path);
      if (descriptor === undefined) continue;
      rmSync(path, { recursive: true, force: true });
      closeSync(descriptor);
    } catch {} // Another exploration removes it at the same time.
  }
}

/** Undefined: somebody else does. */
function hold(path: string): number | undefined {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  if (libc().flock(descriptor, LOCK.EXCLUSIVE | LOCK.NON_BLOCKING) === 0) return descriptor;
  closeSync(descriptor);
  return undefined;
}
