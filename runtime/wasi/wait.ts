import { constants } from "node:fs";
import { LINUX } from "./errno.js";
import { RESTART, type WasiHost } from "./host.js";
import { SCRATCH } from "./scratch.js";
import { modeInScratch, statOf } from "./stat.js";

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;

export const READY = 0;

/** Whether a wait must be given up because a failure is pending. */
export function failurePending(host: WasiHost): boolean {
  return host.environment?.failurePending() === true;
}

/**
 * The wake descriptor became readable. A count left over from an earlier failure is drained: the flag is set before the
 * descriptor is written, so whoever drains and then looks at the flag misses nothing.
 */
export function drainWake(host: WasiHost): void {
  if (failurePending(host)) return;
  host.libc.read(host.environment?.wakeDescriptor ?? -1, host.scratch.address + SCRATCH.small, 8);
}

/**
 * Waits until the host descriptor is ready for `events`, has an error or was hung up, or `milliseconds` passed (-1: no
 * limit). RESTART: a failure is pending.
 */
export function waitFor(host: WasiHost, descriptor: number, events: number, milliseconds = -1): number {
  const { libc, scratch } = host;
  const at = SCRATCH.polls;
  for (;;) {
    if (failurePending(host)) return RESTART;
    scratch.view.setInt32(at, descriptor, true);
    scratch.view.setUint32(at + 4, events, true); // events u16, revents u16
    scratch.view.setInt32(at + 8, host.environment?.wakeDescriptor ?? -1, true);
    scratch.view.setUint32(at + 12, POLLIN, true);
    const ready = libc.poll(scratch.address + at, 2, milliseconds);
    if (ready === -1) {
      if (libc.errno() === LINUX.EINTR) continue;
      return READY; // the transfer that follows names the error
    }
    if (scratch.view.getUint16(at + 14, true) !== 0) drainWake(host);
    const revents = scratch.view.getUint16(at + 6, true);
    if ((revents & POLLHUP) !== 0 && scratch.view.getUint16(at + 14, true) === 0) awaitHangUp(host, descriptor);
    if (revents !== 0) return failurePending(host) ? RESTART : READY;
    if (ready === 0) return READY;
  }
}

const HANG_UP_MILLISECONDS = 100;

/**
 * A terminal that is gone is told twice: to us as an end of file, and to the main thread as SIGHUP, which may be a power failure.
 * The guest shall not see its end before that is known.
 */
function awaitHangUp(host: WasiHost, descriptor: number): void {
  const wakeDescriptor = host.environment?.wakeDescriptor ?? -1;
  if (wakeDescriptor >= 0 && isTerminalDevice(host, descriptor)) {
    readyWithin(host, wakeDescriptor, POLLIN, HANG_UP_MILLISECONDS);
  }
}

/** Also of one that is gone, of which isatty says that it is none. */
function isTerminalDevice(host: WasiHost, descriptor: number): boolean {
  if (statOf(host, descriptor) === -1) return false;
  return (modeInScratch(host) & constants.S_IFMT) === constants.S_IFCHR;
}

/** What poll(2) says now, without waiting. */
export function readyNow(host: WasiHost, descriptor: number, events: number): number {
  return readyWithin(host, descriptor, events, 0);
}

function readyWithin(host: WasiHost, descriptor: number, events: number, milliseconds: number): number {
  const { libc, scratch } = host;
  const at = SCRATCH.polls;
  scratch.view.setInt32(at, descriptor, true);
  scratch.view.setUint32(at + 4, events, true);
  return libc.poll(scratch.address + at, 1, milliseconds) > 0 ? scratch.view.getUint16(at + 6, true) : 0;
}
