import { Clockid, EVENTRWFLAGS_HANGUP, Eventtype, Rights, SUBCLOCK_ABSTIME } from "./abi.js";
import { type Descriptor, Transport } from "./descriptors.js";
import { Errno, LINUX } from "./errno.js";
import { RESTART, type WasiHost } from "./host.js";
import { positionOf } from "./position.js";
import { HostBuffer, SCRATCH } from "./scratch.js";
import { byteLengthInScratch, statOf } from "./stat.js";
import { drainWake, failurePending, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT } from "./wait.js";

/** Where things are in a subscription; snapshot 0 has an identifier before the clock. */
interface SubscriptionLayout {
  readonly byteLength: number;
  readonly clockId: number;
  readonly timeout: number;
  readonly clockFlags: number;
  readonly descriptor: number;
}
const PREVIEW1: SubscriptionLayout = { byteLength: 48, clockId: 16, timeout: 24, clockFlags: 40, descriptor: 16 };
const UNSTABLE: SubscriptionLayout = { byteLength: 56, clockId: 24, timeout: 32, clockFlags: 48, descriptor: 16 };
const EVENT_BYTES = 32; // userdata u64, error u16, type u8, nbytes u64 at 16, flags u16 at 24
const FIONREAD = 0x541b;
const NANOSECONDS = 1_000_000_000n;
const NAME = "poll_oneoff";
/** More than a guest can have descriptors; poll(2) has such a limit too. */
const SUBSCRIPTIONS_MAXIMUM = 65536;

/** What one subscription waits for. */
interface Waiting {
  readonly subscription: number;
  /** Clocks: guest monotonic nanoseconds, or nanoseconds since 1970. */
  readonly deadline: bigint;
  readonly realtime: boolean;
  /** Descriptors: place in the pollfd array, and what to look for; -1: ready at once. */
  readonly slot: number;
  readonly events: number;
  readonly descriptor: Descriptor | undefined;
  readonly error: Errno;
}

/**
 * poll_oneoff: waits until something subscribed to happens; events to [events, ...), their number, u32, to [out, out + 4).
 *
 * A wait that a failure interrupts remembers when it began, on the guest's monotonic clock, and goes on with what is left.
 * INVAL: none or too many subscriptions, an unknown clock or type. A descriptor that is not open makes an event with that error.
 */
export function pollOneoff(
  host: WasiHost,
  subscriptions: number,
  events: number,
  count: number,
  out: number,
  unstable = false,
): number {
  const { memory } = host;
  subscriptions >>>= 0;
  events >>>= 0;
  count >>>= 0;
  out >>>= 0;
  const layout = unstable ? UNSTABLE : PREVIEW1;
  if (count === 0) return Errno.INVAL;
  if (!memory.has(out, 4) || !memory.has(events, count * EVENT_BYTES)) return Errno.FAULT;
  if (!memory.has(subscriptions, count * layout.byteLength)) return Errno.FAULT;
  if (count > SUBSCRIPTIONS_MAXIMUM) return Errno.INVAL;

  const interrupted = host.interrupted.take(NAME, subscriptions, events, count);
  const startedAt = interrupted?.startedAt ?? host.clocks.now(Clockid.MONOTONIC);
  const polled = new PolledDescriptors();
  const waits: Waiting[] = [];
  for (let index = 0; index < count; index++) {
    const waiting = read(host, layout, subscriptions + index * layout.byteLength, startedAt, polled);
    if (typeof waiting === "number") return waiting;
    waits.push(waiting);
  }
  const immediate = waits.some(({ error, slot, descriptor }) => error !== 0 || (descriptor !== undefined && slot < 0));
  if (!waitForAny(host, waits, polled, immediate)) {
    host.interrupted.add({ name: NAME, key: [subscriptions, events, count], startedAt, bytesMoved: 0 });
    return RESTART;
  }
  const monotonic = host.clocks.now(Clockid.MONOTONIC);
  const real = host.clocks.now(Clockid.REALTIME);
  let happened = 0;
  for (const waiting of waits) {
    if (writeEvent(host, waiting, polled, monotonic, real, events + happened * EVENT_BYTES)) happened++;
  }
  memory.setU32(out, happened);
  return Errno.SUCCESS;
}

/** The host descriptors of one call, each once per kind of event, as a pollfd array. */
class PolledDescriptors {
  readonly slots: { readonly host: number; readonly events: number }[] = [];
  readonly #places = new Map<number, number>();
  /** After the wait. */
  results: Uint16Array = new Uint16Array(0);

  place(host: number, events: number): number {
    const key = host * 8 + events;
    let slot = this.#places.get(key);
    if (slot === undefined) {
      slot = this.slots.length;
      this.slots.push({ host, events });
      this.#places.set(key, slot);
    }
    return slot;
  }
}

function read(
  host: WasiHost,
  layout: SubscriptionLayout,
  subscription: number,
  startedAt: bigint,
  polled: PolledDescriptors,
): Waiting | Errno {
  const { memory } = host;
  const nothing = {
    subscription,
    deadline: -1n,
    realtime: false,
    slot: -1,
    events: 0,
    descriptor: undefined,
    error: 0,
  };
  const tag = memory.bytes[subscription + 8]!;
  if (tag === Eventtype.CLOCK) {
    const id = memory.u32(subscription + layout.clockId);
    if (id !== Clockid.REALTIME && id !== Clockid.MONOTONIC) return Errno.INVAL;
    const flags = memory.u16(subscription + layout.clockFlags);
    if ((flags & ~SUBCLOCK_ABSTIME) !== 0) return Errno.INVAL;
    const timeout = memory.u64(subscription + layout.timeout);
    const absolute = (flags & SUBCLOCK_ABSTIME) !== 0;
    const realtime = absolute && id === Clockid.REALTIME;
    return { ...nothing, deadline: absolute ? timeout : startedAt + timeout, realtime };
  }
  if (tag !== Eventtype.FD_READ && tag !== Eventtype.FD_WRITE) return Errno.INVAL;
  const fd = memory.u32(subscription + layout.descriptor);
  const descriptor = host.table.get(fd);
  const right = tag === Eventtype.FD_READ ? Rights.FD_READ : Rights.FD_WRITE;
  if (descriptor === undefined) return { ...nothing, error: Errno.BADF };
  const mayPoll = (descriptor.rights & (right | Rights.POLL_FD_READWRITE)) !== 0;
  if (!mayPoll) return { ...nothing, error: Errno.NOTCAPABLE };
  const always = descriptor.kind === "reset" || descriptor.kind === "lost" || descriptor.transport === Transport.FILE;
  const events = tag === Eventtype.FD_READ ? POLLIN : POLLOUT;
  if (always) return { ...nothing, descriptor, events };
  if (descriptor.isDirectory) return { ...nothing, error: Errno.BADF };
  return { ...nothing, descriptor, events, slot: polled.place(descriptor.host, events) };
}

/** Waits for the first deadline or ready descriptor; false: a failure is pending. */
function waitForAny(host: WasiHost, waits: readonly Waiting[], polled: PolledDescriptors, immediate: boolean): boolean {
  const { libc, scratch } = host;
  const { simulation } = host.options;
  const { slots } = polled;
  const fds = new HostBuffer(libc, (slots.length + 1) * 8);
  for (const [index, slot] of slots.entries()) {
    fds.view.setInt32(index * 8, slot.host, true);
    fds.view.setUint32(index * 8 + 4, slot.events, true);
  }
  const wake = slots.length * 8;
  fds.view.setInt32(wake, host.environment?.wakeDescriptor ?? -1, true);
  fds.view.setUint32(wake + 4, POLLIN, true);
  let monotonic: bigint | undefined;
  let real: bigint | undefined;
  for (const { deadline, realtime, descriptor, error } of waits) {
    if (descriptor !== undefined || error !== 0) continue;
    if (realtime) real = real === undefined || deadline < real ? deadline : real;
    else monotonic = monotonic === undefined || deadline < monotonic ? deadline : monotonic;
  }
  for (;;) {
    if (!immediate && failurePending(host)) return false;
    const left = immediate ? 0n : timeLeft(host, monotonic, real);
    if (left !== undefined) {
      const really = simulation === undefined ? left : 0n;
      scratch.view.setBigInt64(SCRATCH.times, really / NANOSECONDS, true);
      scratch.view.setBigInt64(SCRATCH.times + 8, really % NANOSECONDS, true);
    }
    const timespec = left === undefined ? 0 : scratch.address + SCRATCH.times;
    const ready = libc.ppoll(fds.address, slots.length + 1, timespec, 0);
    if (ready === -1 && libc.errno() === LINUX.EINTR) continue;
    polled.results = Uint16Array.from(slots, (_, index) => fds.view.getUint16(index * 8 + 6, true));
    if (immediate || polled.results.some((result) => result !== 0)) return true;
    if (fds.view.getUint16(wake + 6, true) !== 0) drainWake(host);
    if (left !== undefined) simulation?.pass(left);
    if (timeLeft(host, monotonic, real) === 0n) return true;
    if (ready === -1) return true; // an error that poll names for each descriptor cannot be waited for
  }
}

/** Nanoseconds until the earlier deadline, cut to what a timespec holds; undefined: there is none. */
function timeLeft(host: WasiHost, monotonic: bigint | undefined, real: bigint | undefined): bigint | undefined {
  let left: bigint | undefined;
  if (monotonic !== undefined) left = monotonic - host.clocks.now(Clockid.MONOTONIC);
  if (real !== undefined) {
    const untilReal = real - host.clocks.now(Clockid.REALTIME);
    if (left === undefined || untilReal < left) left = untilReal;
  }
  if (left === undefined) return undefined;
  if (left < 0n) return 0n;
  const year = 31_536_000n * NANOSECONDS;
  return left > year ? year : left;
}

/** Writes the event of a subscription if what it waits for has happened. */
function writeEvent(
  host: WasiHost,
  waiting: Waiting,
  polled: PolledDescriptors,
  monotonic: bigint,
  real: bigint,
  to: number,
): boolean {
  const { descriptor, error, slot } = waiting;
  const { memory } = host;
  const isClock = descriptor === undefined && error === Errno.SUCCESS;
  const result = slot < 0 ? 0 : polled.results[slot]!;
  if (isClock && waiting.deadline > (waiting.realtime ? real : monotonic)) return false;
  if (descriptor !== undefined && slot >= 0 && result === 0) return false;
  const userdata = memory.u64(waiting.subscription);
  const type = memory.bytes[waiting.subscription + 8]!;
  const available = descriptor === undefined ? 0n : bytesAvailable(host, descriptor, waiting.events);
  const atEnd = descriptor?.transport === Transport.FILE && waiting.events === POLLIN && available === 0n;
  const hangup = (result & (POLLHUP | POLLERR)) !== 0 || atEnd || descriptor?.kind === "reset";
  memory.bytes.fill(0, to, to + EVENT_BYTES);
  memory.setU64(to, userdata);
  memory.setU16(to + 8, (result & POLLNVAL) !== 0 ? Errno.BADF : descriptor?.kind === "lost" ? Errno.STALE : error);
  memory.setU8(to + 10, type);
  memory.setU64(to + 16, available);
  memory.setU16(to + 24, hangup ? EVENTRWFLAGS_HANGUP : 0);
  return true;
}

/** How much can be read at once: the rest of a file, what lies in a pipe. For writing, 1: "some". */
function bytesAvailable(host: WasiHost, descriptor: Descriptor, events: number): bigint {
  if (events === POLLOUT) return 1n;
  const { libc, scratch } = host;
  if (descriptor.transport === Transport.FILE) {
    const offset = positionOf(host, descriptor);
    if (offset === -1 || statOf(host, descriptor.host) === -1) return 1n;
    const left = byteLengthInScratch(host) - BigInt(offset);
    return left > 0n ? left : 0n;
  }
  if (descriptor.kind === "listener" || descriptor.host < 0) return 1n;
  if (libc.ioctl(descriptor.host, FIONREAD, scratch.address + SCRATCH.small) === -1) return 1n;
  return BigInt(scratch.view.getUint32(SCRATCH.small, true));
}
