import { readFileSync } from "node:fs";
import { attempt, VermilionError } from "./error.js";

const MAPS = "/proc/self/maps";

/**
 * How much from `address` on, up to `wanted` bytes, is what V8 makes of a memory that grows in place: anonymous, read-write
 * up to byteLength, inaccessible beyond, no hole.
 */
export function reservedByteLength(address: number, byteLength: number, wanted: number): number {
  if (!(address > 0) || address % 4096 !== 0) return 0;
  const end = address + wanted;
  let covered = address;
  const maps = attempt("look up the guest's memory", MAPS, () => readFileSync(MAPS, "latin1"));
  for (const line of maps.split("\n")) {
    const dash = line.indexOf("-");
    const to = Number.parseInt(line.slice(dash + 1, dash + 17), 16);
    if (!(to > covered)) continue; // most lines; sorted by address
    const match = /^([0-9a-f]+)-[0-9a-f]+ (\S+) \S+ \S+ (\d+) *(.*)$/.exec(line);
    if (match === null || Number.parseInt(match[1] ?? "", 16) > covered) break;
    const anonymous = match[3] === "0" && !match[4]?.startsWith("[");
    const accessible = match[2]?.startsWith("rw") === true;
    if (!anonymous || accessible !== covered < address + byteLength) break;
    covered = to;
    if (covered >= end) break;
  }
  return covered - address;
}

/** REGION_RESERVATION: V8 would move the memory when it grows, and what we hold is its address. */
export function checkReservation(path: string, address: number, byteLength: number, wanted: number): void {
  const reserved = reservedByteLength(address, byteLength, wanted);
  if (reserved >= wanted && address > 0 && address % 4096 === 0) return;
  throw new VermilionError(
    "REGION_RESERVATION",
    `${path}: the engine reserved only ${reserved} of ${wanted} bytes of address space for this memory; raise the limit ` +
      "(ulimit -v) or give the module a smaller maximum",
  );
}
