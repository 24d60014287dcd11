import { FSTFLAGS_ALL, Fstflags } from "./abi.js";
import { Errno } from "./errno.js";
import type { WasiHost } from "./host.js";
import { SCRATCH } from "./scratch.js";

const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;
const NANOSECONDS = 1_000_000_000n;

/** Two u64 of nanoseconds since 1970, and fstflags. */
export interface TimesArgument {
  readonly accessed: bigint;
  readonly modified: bigint;
  readonly flags: number;
}

/** Writes the struct timespec[2] of utimensat(2) into the scratch memory. INVAL: contradicting or unknown flags. */
export function takeTimes(host: WasiHost, { accessed, modified, flags }: TimesArgument): Errno {
  if ((flags & ~FSTFLAGS_ALL) !== 0) return Errno.INVAL;
  if ((flags & Fstflags.ATIM) !== 0 && (flags & Fstflags.ATIM_NOW) !== 0) return Errno.INVAL;
  if ((flags & Fstflags.MTIM) !== 0 && (flags & Fstflags.MTIM_NOW) !== 0) return Errno.INVAL;
  put(host, 0, accessed, (flags & Fstflags.ATIM) !== 0, (flags & Fstflags.ATIM_NOW) !== 0);
  put(host, 16, modified, (flags & Fstflags.MTIM) !== 0, (flags & Fstflags.MTIM_NOW) !== 0);
  return Errno.SUCCESS;
}

function put(host: WasiHost, at: number, time: bigint, given: boolean, now: boolean): void {
  const { view } = host.scratch;
  const unsigned = BigInt.asUintN(64, time);
  const nanoseconds = given ? unsigned % NANOSECONDS : BigInt(now ? UTIME_NOW : UTIME_OMIT);
  view.setBigInt64(SCRATCH.times + at, given ? unsigned / NANOSECONDS : 0n, true);
  view.setBigInt64(SCRATCH.times + at + 8, nanoseconds, true);
}
