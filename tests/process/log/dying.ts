/** A process that dies as the kernel ends it: an exception that nothing catches. Stores into its log stay. */
import { type Libc, libc } from "../../../runtime/wasi/libc.js";
import { machine } from "./simulated-machine.js";

class Killed extends Error {}

/** Calls that only tell. */
const HARMLESS = new Set(["errno", "addressOf", "isatty", "getrlimit", "clock_gettime", "clock_getres", "getrandom"]);
const calls = libc() as unknown as Record<string, (...args: unknown[]) => unknown>;
const originals = { ...calls };

/** Lets the process die at the nth system call, or between two calls of the guest; counts both. 0: never. */
export function dieAt(wanted: number, when: "before" | "after"): { count: number } {
  const seen = { count: 0 };
  machine.computing = () => {
    if (++seen.count === wanted) throw new Killed();
  };
  for (const [name, original] of Object.entries(originals)) {
    if (HARMLESS.has(name)) continue;
    calls[name] = (...args) => {
      seen.count++;
      if (seen.count === wanted && when === "before") throw new Killed();
      const result = original(...args);
      if (seen.count === wanted) throw new Killed();
      return result;
    };
  }
  return seen;
}

export function live(): void {
  Object.assign(calls as unknown as Libc, originals);
  machine.computing = () => {};
}

/** Undefined: it died. */
export function outlive(action: () => void): true | undefined {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof Killed) return undefined;
    throw error;
  } finally {
    live();
  }
}
