import { Errno, LINUX } from "./errno.js";
import { RESTART, type WasiHost } from "./host.js";
import { failurePending } from "./wait.js";

/** What one getrandom(2) may take: about a tenth of a second. */
const CHUNK_BYTES = 1 << 24;

/** random_get: fills [buffer, buffer + byteLength) from the kernel's generator. */
export function randomGet(host: WasiHost, buffer: number, byteLength: number): number {
  const { memory, libc } = host;
  buffer >>>= 0;
  byteLength >>>= 0;
  if (!memory.has(buffer, byteLength)) return Errno.FAULT;
  for (let done = 0; done < byteLength; ) {
    const got = libc.getrandom(memory.address + buffer + done, Math.min(byteLength - done, CHUNK_BYTES), 0);
    if (got >= 0) done += got;
    else if (libc.errno() !== LINUX.EINTR) return host.lastError();
    if (done < byteLength && failurePending(host)) return RESTART;
  }
  return Errno.SUCCESS;
}
