/**
 * What becoming the next log takes besides its first words: letting go of the log before the last, and making a file, giving it
 * room on the disk and mapping it, in the same address range. Plain data, carried out by another thread while the guest runs.
 *
 * Both threads change the range only in turns: it is the other's from `handOver` until what it has made is adopted.
 */
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { libc, MAP, PROT } from "./libc.js";
import { FIRST_BYTES } from "./mapped-log.js";

export interface LogChores {
  /** Whoever has this keeps the range from being given to anybody else. */
  readonly memory: WebAssembly.Memory;
  readonly address: number;
  /** Of the range that is mapped, from `address` on. */
  readonly byteLength: number;
  /** Of the file that is mapped there, to be closed. */
  readonly descriptor: number;
  /** For the new file, in place of one that may be there. */
  readonly path: string;
}

/** The descriptor of a file that is mapped at `address`, with FIRST_BYTES; undefined: it could not be made, nothing is mapped. */
export function carryOutLogChores(chores: Omit<LogChores, "memory">): number | undefined {
  const { address, byteLength, descriptor, path } = chores;
  const system = libc();
  system.forget(address, byteLength); // takes long, and lets others change mappings meanwhile
  const anonymous = MAP.PRIVATE | MAP.ANONYMOUS | MAP.NORESERVE;
  const access = PROT.READ | PROT.WRITE;
  const errno = system.mapFixed(address, byteLength, access, anonymous, -1, 0);
  closeSync(descriptor);
  if (errno !== 0) return undefined;
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  let made: number;
  try {
    rmSync(path, { force: true });
    made = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch {
    return undefined;
  }
  const allocated = system.allocate(made, FIRST_BYTES) === 0;
  if (allocated && system.mapFixed(address, FIRST_BYTES, access, MAP.SHARED, made, 0) === 0) {
    system.fill(address, FIRST_BYTES);
    return made;
  }
  closeSync(made);
  rmSync(path, { force: true });
  return undefined;
}
