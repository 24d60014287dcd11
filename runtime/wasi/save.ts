import { errnoError } from "../../pmem/error.js";
import { Filetype } from "./abi.js";
import { type Descriptor, Transport } from "./descriptors.js";
import { LINUX } from "./errno.js";
import type { WasiHost } from "./host.js";
import { FileKeeper } from "./kept-files.js";
import { listenerPort } from "./listen.js";
import { otherPlaceOf } from "./other-names.js";
import { nameOf, placeOf, type RootPaths, rootPaths } from "./places.js";
import { positionOf } from "./position.js";
import { directoryAt, fileAt, isRegular } from "./saved-descriptors.js";
import { type FileFacts, factsInScratch, statOf } from "./stat.js";
import { type Place, type SavedDescriptor, type SavedState, WASI_STATE_VERSION } from "./state.js";

const F_DUPFD_CLOEXEC = 1030;

export interface SaveOptions {
  /** Whether files that the guest may have written are flushed. Default: true. */
  readonly flush?: boolean;
  /** Instead of flushing them: gets descriptors of our own of these files, for others to flush and close. */
  readonly flushLater?: number[];
}

/**
 * Everything of the system interface that a fresh process needs to go on. Where a file is now is asked of the kernel
 * (/proc/self/fd), not remembered: it may have been renamed since it was opened.
 */
export function saveState(host: WasiHost, { flush = true, flushLater }: SaveOptions): SavedState {
  const { monotonic, processCpu, threadCpu } = host.clocks.read();
  const keeper = new FileKeeper(host);
  const saving = { flush, flushLater, keeper, roots: rootPaths(host) };
  const descriptors = [...host.table.all()].map((entry) => saveOne(host, entry, saving));
  keeper.flush();
  return {
    version: WASI_STATE_VERSION,
    clocks: {
      monotonic: monotonic.toString(),
      processCpu: processCpu.toString(),
      threadCpu: threadCpu.toString(),
    },
    interrupted: host.interrupted.all().map(({ name, key, startedAt, bytesMoved }) => ({
      name,
      key,
      startedAt: startedAt.toString(),
      bytesMoved,
    })),
    descriptors,
  };
}

/** One descriptor, as saveState has it. Nothing is flushed. */
export function saveNumber(host: WasiHost, number: number, roots: RootPaths): SavedDescriptor | undefined {
  const descriptor = host.table.get(number);
  if (descriptor === undefined) return undefined;
  const keeper = new FileKeeper(host);
  return saveOne(host, [number, descriptor], { flush: false, flushLater: undefined, keeper, roots });
}

/** The same of a file or directory that has just been opened, nothing of which need be asked of the kernel any more. */
export function saveJustOpened(
  host: WasiHost,
  number: number,
  descriptor: Descriptor,
  place: Place,
  facts: FileFacts,
): SavedDescriptor {
  if (descriptor.isDirectory) return directoryAt(number, descriptor, place, undefined);
  const offset = isRegular(facts) ? 0 : offsetOf(host, descriptor);
  return fileAt(number, descriptor, place, facts, offset, undefined);
}

function saveOne(host: WasiHost, [number, descriptor]: [number, Descriptor], saving: Saving): SavedDescriptor {
  const { rights, inheriting, fdflags } = descriptor;
  return saveDescriptor(host, descriptor, { number, rights, inheriting, fdflags }, saving);
}

interface Saving {
  readonly flush: boolean;
  readonly flushLater: number[] | undefined;
  readonly keeper: FileKeeper;
  readonly roots: RootPaths;
}

type Common = Pick<SavedDescriptor, "number" | "rights" | "inheriting" | "fdflags">;

function saveDescriptor(host: WasiHost, descriptor: Descriptor, common: Common, saving: Saving): SavedDescriptor {
  switch (descriptor.kind) {
    case "stdio":
      return { ...common, kind: "stdio", stream: descriptor.index as 0 | 1 | 2, ...stdioPosition(host, descriptor) };
    case "preopen":
      return { ...common, kind: "preopen", ...nameOf(host, descriptor.index), listing: listingOf(descriptor) };
    case "directory":
      return saveDirectory(host, descriptor, common, saving);
    case "file":
      return saveFile(host, descriptor, common, saving);
    case "listener": {
      const port = listenerPort(host.libc, host.scratch, descriptor.host);
      return { ...common, kind: "listener", address: descriptor.path, port };
    }
    case "connection":
      return { ...common, kind: "reset", told: false };
    case "reset":
      return { ...common, kind: "reset", told: descriptor.told };
    case "lost":
      return { ...common, kind: "lost", path: descriptor.path };
  }
}

/** A redirected regular file's position; it is used only if the resumed process gets the same file. */
function stdioPosition(host: WasiHost, descriptor: Descriptor): { offset?: string; inode?: string } {
  if (descriptor.filetype !== Filetype.REGULAR_FILE || statOf(host, descriptor.host) === -1) return {};
  const { inode } = factsInScratch(host);
  const offset = positionOf(host, descriptor);
  return offset === -1 ? {} : { offset: offset.toString(), inode: inode.toString() };
}

function saveDirectory(host: WasiHost, descriptor: Descriptor, common: Common, saving: Saving): SavedDescriptor {
  const listing = listingOf(descriptor);
  if (statOf(host, descriptor.host) === -1) return lost(host, descriptor, common, "it cannot be read");
  const facts = factsInScratch(host);
  const place = facts.links === 0n ? undefined : placeOf(host, descriptor.host, facts, saving.roots);
  if (place === undefined && facts.links > 0n) {
    return lost(host, descriptor, common, "it is no longer beneath a directory of the guest");
  }
  return directoryAt(common.number, descriptor, place, listing);
}

function saveFile(host: WasiHost, descriptor: Descriptor, common: Common, saving: Saving): SavedDescriptor {
  const { libc } = host;
  if (descriptor.writable && saving.flush && descriptor.filetype === Filetype.REGULAR_FILE) {
    const own = saving.flushLater === undefined ? -1 : libc.fcntl(descriptor.host, F_DUPFD_CLOEXEC, 0);
    if (own !== -1) saving.flushLater?.push(own);
    else if (libc.fdatasync(descriptor.host) === -1 && libc.errno() !== LINUX.EINVAL) {
      throw errnoError("flush", descriptor.path, libc.errno());
    }
  }
  if (statOf(host, descriptor.host) === -1) return lost(host, descriptor, common, "it cannot be read");
  const facts = factsInScratch(host);
  let place: Place | undefined;
  if (descriptor.kept === undefined) {
    place = placeOf(host, descriptor.host, facts, saving.roots);
    if (facts.links > 0n) place ??= otherPlaceOf(host, descriptor, facts, saving.roots);
  }
  let { identity } = descriptor;
  if (place === undefined && isRegular(facts)) {
    const kept = saving.keeper.keep(descriptor, facts);
    if (kept !== undefined) {
      if (facts.links > 0n && descriptor.kept === undefined) {
        host.options.warn(
          `${descriptor.path}: it has no name in the guest's directories; the guest goes on with a copy`,
        );
      }
      place = { kept };
      identity ??= { device: facts.device, inode: facts.inode, links: facts.links };
    }
  }
  if (place === undefined) return lost(host, descriptor, common, "it has no name any more and could not be kept");
  return fileAt(common.number, descriptor, place, facts, offsetOf(host, descriptor), identity);
}

/** -1: it has no position. */
function offsetOf(host: WasiHost, descriptor: Descriptor): number | bigint {
  return descriptor.transport === Transport.FILE ? positionOf(host, descriptor) : -1;
}

function lost(host: WasiHost, descriptor: Descriptor, common: Common, why: string): SavedDescriptor {
  host.options.warn(`${descriptor.path}: open in the guest as descriptor ${common.number}, but ${why}`);
  return { ...common, kind: "lost", path: descriptor.path };
}

function listingOf({ listing }: Descriptor): string | undefined {
  return listing === undefined || listing.finished ? undefined : listing.bytes.toString("base64");
}
