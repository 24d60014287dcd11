import { Errno } from "./errno.js";
import type { WasiHost } from "./host.js";
import { IOVECS_MAXIMUM, SCRATCH } from "./scratch.js";

/** More buffers than this in one call is an error; Linux's own limit is 1024. */
const GUEST_IOVECS_MAXIMUM = 65536;

/** Linux moves no more in one call; nor do we, however often the buffers overlap. */
const TRANSFER_MAXIMUM = 0x7ffff000;

/** What `gather` found: how many host iovecs it wrote, and whether they end the list. */
export interface Gathered {
  count: number;
  byteLength: number;
  last: boolean;
}

const gathered: Gathered = { count: 0, byteLength: 0, last: true };

/** FAULT: the list, or a buffer in it, is not inside the guest's memory. INVAL: too many buffers. */
export function checkIovecs(host: WasiHost, iovecs: number, count: number): Errno {
  const { memory } = host;
  if (count > GUEST_IOVECS_MAXIMUM) return memory.has(iovecs, count * 8) ? Errno.INVAL : Errno.FAULT;
  if (!memory.has(iovecs, count * 8)) return Errno.FAULT;
  for (let at = iovecs; at < iovecs + count * 8; at += 8) {
    if (!memory.has(memory.u32(at), memory.u32(at + 4))) return Errno.FAULT;
  }
  return Errno.SUCCESS;
}

/**
 * Writes the guest's buffers, without their first `skip` bytes, as host iovecs into the scratch memory: at most 1024
 * of them, and at most 2^31 - 4096 bytes with those skipped. The result is overwritten by the next call. `checkIovecs`
 * came before.
 */
export function gather(host: WasiHost, iovecs: number, count: number, skip: number): Gathered {
  const { memory, scratch } = host;
  let room = TRANSFER_MAXIMUM - skip;
  gathered.count = 0;
  gathered.byteLength = 0;
  gathered.last = true;
  for (let at = iovecs; at < iovecs + count * 8 && room > 0; at += 8) {
    let pointer = memory.u32(at);
    let byteLength = memory.u32(at + 4);
    if (skip >= byteLength) {
      skip -= byteLength;
      continue;
    }
    pointer += skip;
    byteLength = Math.min(byteLength - skip, room);
    skip = 0;
    room -= byteLength;
    if (gathered.count === IOVECS_MAXIMUM) {
      gathered.last = false;
      break;
    }
    const to = SCRATCH.iovecs + gathered.count * 16;
    scratch.setAddress(to, memory.address + pointer);
    scratch.view.setUint32(to + 8, byteLength, true);
    scratch.view.setUint32(to + 12, 0, true);
    gathered.count++;
    gathered.byteLength += byteLength;
  }
  return gathered;
}
