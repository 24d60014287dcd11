import type { WasiHost } from "./host.js";
import { SCRATCH } from "./scratch.js";

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** struct msghdr: name, name length, iovecs, their count, control, its length, flags. */
const HEADER = { iovecs: 16, count: 24, flags: 48, byteLength: 56 } as const;

function header(host: WasiHost, iovecCount: number): number {
  const { scratch } = host;
  scratch.bytes.fill(0, SCRATCH.message, SCRATCH.message + HEADER.byteLength);
  scratch.setAddress(SCRATCH.message + HEADER.iovecs, scratch.address + SCRATCH.iovecs);
  scratch.view.setUint32(SCRATCH.message + HEADER.count, iovecCount, true);
  return scratch.address + SCRATCH.message;
}

/** Receives into the gathered iovecs; bytes, or -1 with errno; EAGAIN: nothing there. */
export function receive(host: WasiHost, descriptor: number, iovecCount: number, flags: number): number {
  return host.libc.recvmsg(descriptor, header(host, iovecCount), flags | MSG_DONTWAIT);
}

/** The flags that the kernel set in the last `receive`. */
export function receivedFlags(host: WasiHost): number {
  return host.scratch.view.getUint32(SCRATCH.message + HEADER.flags, true);
}

/** Sends the gathered iovecs; bytes, or -1 with errno; EAGAIN: no room. */
export function send(host: WasiHost, descriptor: number, iovecCount: number, flags: number): number {
  return host.libc.sendmsg(descriptor, header(host, iovecCount), flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}
