import { hrtime } from "node:process";
import { Clockid } from "./abi.js";
import { Errno } from "./errno.js";
import type { WasiHost } from "./host.js";
import type { Libc } from "./libc.js";
import { writeTimestamp } from "./memory.js";
import { RealTime } from "./real-time.js";
import { type HostBuffer, SCRATCH } from "./scratch.js";
import type { Simulation } from "./simulation.js";

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
  readonly #simulation: Simulation | undefined;
  /** The scratch timespec as words: seconds in 0 (and 1, which is 0 until 2106), nanoseconds in 2. */
  readonly #words: Uint32Array;
  /** Per id, nanoseconds added to the host's clock; for real time, to the monotonic one, as `#real` has found. */
  readonly #offsets = new BigInt64Array(4);
  /** By way of an element the engine adds and stores without making a bigint; all engines do, as they store two halves. */
  readonly #time = new BigInt64Array(1);
  readonly #halves = new Uint32Array(this.#time.buffer);
  readonly #real: RealTime;

  constructor(
    libc: Libc,
    scratch: HostBuffer,
    readings: ClockReadings | undefined,
    simulation: Simulation | undefined = undefined,
  ) {
    this.#simulation = simulation;
    this.#libc = libc;
    this.#scratch = scratch;
    this.#words = new Uint32Array(scratch.bytes.buffer, SCRATCH.times, 4);
    this.#real = new RealTime(() => this.#hostClock(Clockid.REALTIME));
    const starts = [readings?.monotonic ?? MONOTONIC_START, readings?.processCpu ?? 0n, readings?.threadCpu ?? 0n];
    for (const [index, id] of SAVED.entries()) this.#offsets[id] = starts[index]! - this.now(id);
  }

  /** Writes the time to [out, out + 8), checked by the caller. `id` is one of the four. */
  write(host: WasiHost, id: number, out: number): void {
    const { view } = host.memory;
    if (this.#simulation !== undefined) {
      this.#simulation.tick();
      view.setBigUint64(out, this.now(id), true);
    } else if (id === Clockid.MONOTONIC) {
      this.#time[0] = hrtime.bigint() + this.#offsets[Clockid.MONOTONIC]!;
      view.setUint32(out, this.#halves[0]!, true);
      view.setUint32(out + 4, this.#halves[1]!, true);
    } else if (id === Clockid.REALTIME) this.#real.write(view, out);
    else view.setBigUint64(out, this.now(id), true);
  }

  /** Nanoseconds. */
  now(id: number): bigint {
    const time = this.#simulation === undefined ? this.#hostClock(id) : this.#simulation.now();
    return time + this.#offsets[id]!;
  }

  #hostClock(id: number): bigint {
    this.#libc.clock_gettime(id, this.#scratch.address + SCRATCH.times);
    return BigInt(this.#words[0]!) * NANOSECONDS + BigInt(this.#words[2]!);
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
export function clockTimeGet(host: WasiHost, id: number, _precision: number | bigint, out: number): Errno {
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
  writeTimestamp(memory.view, out, scratch.number(SCRATCH.times), scratch.number(SCRATCH.times + 8));
  return Errno.SUCCESS;
}
