import { Clockid } from "./abi.js";
import { Errno } from "./errno.js";
import type { WasiHost } from "./host.js";
import type { Libc } from "./libc.js";
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
  /** Per id, nanoseconds added to the host's clock. */
  readonly #offsets = [0n, 0n, 0n, 0n];
  /** Per id, the second of the host's clock that was last asked for, and the guest's time at its start in two halves. */
  readonly #second = new Float64Array(4).fill(-1);
  readonly #low = new Float64Array(4);
  readonly #high = new Float64Array(4);

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
    const starts = [readings?.monotonic ?? MONOTONIC_START, readings?.processCpu ?? 0n, readings?.threadCpu ?? 0n];
    for (const [index, id] of SAVED.entries()) this.#offsets[id] = starts[index]! - this.now(id);
  }

  /** Writes the time to [out, out + 8), checked by the caller. `id` is one of the four. No bigint on this path. */
  write(host: WasiHost, id: number, out: number): void {
    if (this.#simulation !== undefined) {
      this.#writeSimulated(this.#simulation, host, id, out);
      return;
    }
    let second: number;
    let nanoseconds: number;
    if (id === Clockid.MONOTONIC) {
      const time = process.hrtime(); // the same clock, without the FFI
      second = time[0];
      nanoseconds = time[1];
    } else {
      this.#libc.clock_gettime(id, this.#scratch.address + SCRATCH.times);
      second = this.#words[0]!;
      nanoseconds = this.#words[2]!;
    }
    if (second !== this.#second[id]) this.#enterSecond(id, second);
    const low = this.#low[id]! + nanoseconds;
    const { view } = host.memory;
    view.setUint32(out, low, true);
    view.setUint32(out + 4, low >= 0x100000000 ? this.#high[id]! + 1 : this.#high[id]!, true);
  }

  #writeSimulated(simulation: Simulation, host: WasiHost, id: number, out: number): void {
    simulation.tick();
    host.memory.setU64(out, this.now(id));
  }

  #enterSecond(id: number, second: number): void {
    const start = BigInt(second) * NANOSECONDS + this.#offsets[id]!;
    this.#second[id] = second;
    this.#low[id] = Number(BigInt.asUintN(32, start));
    this.#high[id] = Number(BigInt.asUintN(32, start >> 32n));
  }

  /** Nanoseconds. */
  now(id: number): bigint {
    if (this.#simulation !== undefined) return this.#simulation.now() + this.#offsets[id]!;
    this.#libc.clock_gettime(id, this.#scratch.address + SCRATCH.times);
    return BigInt(this.#words[0]!) * NANOSECONDS + BigInt(this.#words[2]!) + this.#offsets[id]!;
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
