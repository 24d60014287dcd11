import { Clockid } from "./abi.js";
import { Errno } from "./errno.js";
import type { WasiHost } from "./host.js";
import type { Libc } from "./libc.js";
import { type HostBuffer, SCRATCH } from "./scratch.js";

const NANOSECONDS = 1_000_000_000n;

/** Where the guest's monotonic clock begins: not at 0, which several guests take for "no time yet". */
const MONOTONIC_START = NANOSECONDS;

/** The clocks that stand still while the process is saved: [WASI id, Linux id]. */
const SAVED = [Clockid.MONOTONIC, Clockid.PROCESS_CPUTIME, Clockid.THREAD_CPUTIME] as const;

/** Nanoseconds, of each saved clock. */
export interface ClockReadings {
  readonly monotonic: bigint;
  readonly processCpu: bigint;
  readonly threadCpu: bigint;
}

/**
 * The guest's four clocks. Real time is the host's; the others are the host's plus an offset, so that they begin with the
 * process and go on, after a resume, from where they stood. WASI's clock ids are Linux's.
 */
export class Clocks {
  readonly #libc: Libc;
  readonly #scratch: HostBuffer;
  /** Per id, what is added to the host's clock: whole seconds, and nanoseconds in [0, 10^9). */
  readonly #seconds = [0, 0, 0, 0];
  readonly #nanoseconds = [0, 0, 0, 0];

  constructor(libc: Libc, scratch: HostBuffer, readings: ClockReadings | undefined) {
    this.#libc = libc;
    this.#scratch = scratch;
    const starts = [readings?.monotonic ?? MONOTONIC_START, readings?.processCpu ?? 0n, readings?.threadCpu ?? 0n];
    for (const [index, id] of SAVED.entries()) {
      const offset = starts[index]! - this.now(id);
      const nanoseconds = ((offset % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
      this.#nanoseconds[id] = Number(nanoseconds);
      this.#seconds[id] = Number((offset - nanoseconds) / NANOSECONDS);
    }
  }

  /** Writes the time to [out, out + 8), checked by the caller. `id` is one of the four. */
  write(host: WasiHost, id: number, out: number): void {
    this.#libc.clock_gettime(id, this.#scratch.address + SCRATCH.times);
    const { view } = this.#scratch;
    // Seconds fit 53 bits, and their upper half is 0 until 2106.
    let seconds =
      view.getUint32(SCRATCH.times, true) + view.getInt32(SCRATCH.times + 4, true) * 0x100000000 + this.#seconds[id]!;
    let nanoseconds = view.getUint32(SCRATCH.times + 8, true) + this.#nanoseconds[id]!;
    if (nanoseconds >= 1e9) {
      nanoseconds -= 1e9;
      seconds++;
    }
    host.memory.setTimestamp(out, seconds, nanoseconds);
  }

  /** Nanoseconds. */
  now(id: number): bigint {
    this.#libc.clock_gettime(id, this.#scratch.address + SCRATCH.times);
    const { view } = this.#scratch;
    return (
      (view.getBigInt64(SCRATCH.times, true) + BigInt(this.#seconds[id]!)) * NANOSECONDS +
      view.getBigInt64(SCRATCH.times + 8, true) +
      BigInt(this.#nanoseconds[id]!)
    );
  }

  read(): ClockReadings {
    return {
      monotonic: this.now(Clockid.MONOTONIC),
      processCpu: this.now(Clockid.PROCESS_CPUTIME),
      threadCpu: this.now(Clockid.THREAD_CPUTIME),
    };
  }
}

/**
 * clock_time_get: u64 nanoseconds to [out, out + 8). INVAL: unknown clock. FAULT: out of bounds.
 * wasmtime has no CPU clocks; we do.
 */
export function clockTimeGet(host: WasiHost, id: number, _precision: bigint, out: number): Errno {
  if (id < 0 || id > Clockid.THREAD_CPUTIME) return Errno.INVAL;
  out >>>= 0;
  if (!host.memory.has(out, 8)) return Errno.FAULT;
  host.clocks.write(host, id, out);
  return Errno.SUCCESS;
}

/** clock_res_get: u64 nanoseconds to [out, out + 8). */
export function clockResGet(host: WasiHost, id: number, out: number): Errno {
  if (id < 0 || id > Clockid.THREAD_CPUTIME) return Errno.INVAL;
  out >>>= 0;
  if (!host.memory.has(out, 8)) return Errno.FAULT;
  const { libc, scratch, memory } = host;
  libc.clock_getres(id, scratch.address + SCRATCH.times);
  memory.setTimestamp(out, scratch.number(SCRATCH.times), scratch.number(SCRATCH.times + 8));
  return Errno.SUCCESS;
}
