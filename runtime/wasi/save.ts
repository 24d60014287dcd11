import { constants } from "node:fs";
import { Filetype } from "./abi.js";
import { type Descriptor, Transport } from "./descriptors.js";
import type { WasiHost } from "./host.js";
import { FileKeeper } from "./keep-alive.js";
import { listenerPort } from "./listen.js";
import { positionOf } from "./position.js";
import { O_PATH } from "./resolve.js";
import { SCRATCH } from "./scratch.js";
import { type FileFacts, factsInScratch, statOf } from "./stat.js";
import { type Place, type SavedDescriptor, type SavedState, WASI_STATE_VERSION } from "./state.js";

const AT_FDCWD = -100;
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
  const saving = { flush, flushLater, keeper, roots: rootPaths(host), place: undefined };
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

/** One descriptor, as saveState has it. Nothing is flushed. `place`: where its file is, if that is known already. */
export function saveNumber(
  host: WasiHost,
  number: number,
  roots: Saving["roots"],
  place: Place | undefined = undefined,
): SavedDescriptor | undefined {
  const descriptor = host.table.get(number);
  if (descriptor === undefined) return undefined;
  const keeper = new FileKeeper(host);
  return saveOne(host, [number, descriptor], { flush: false, flushLater: undefined, keeper, roots, place });
}

/** Where the granted directories are now; undefined: nobody knows. */
export function rootPaths(host: WasiHost): (string | undefined)[] {
  return host.roots.map((root) => pathOf(host, root));
}

function saveOne(host: WasiHost, [number, descriptor]: [number, Descriptor], saving: Saving): SavedDescriptor {
  const { rights, inheriting, fdflags } = descriptor;
  return saveDescriptor(host, descriptor, { number, rights, inheriting, fdflags }, saving);
}

interface Saving {
  readonly flush: boolean;
  readonly flushLater: number[] | undefined;
  readonly keeper: FileKeeper;
  /** Where the preopens are; undefined: unknown. */
  readonly roots: readonly (string | undefined)[];
  /** Of the file that is saved; undefined: it is asked of the kernel. */
  readonly place: Place | undefined;
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
  const place = facts.links === 0n ? undefined : placeOf(host, descriptor.host, facts, saving);
  if (place === undefined && facts.links > 0n) {
    return lost(host, descriptor, common, "it is no longer beneath a directory of the guest");
  }
  const { number, rights, inheriting, fdflags } = common;
  return { number, rights, inheriting, fdflags, kind: "directory", place, listing };
}

function saveFile(host: WasiHost, descriptor: Descriptor, common: Common, saving: Saving): SavedDescriptor {
  const { libc } = host;
  if (descriptor.writable && saving.flush && descriptor.filetype === Filetype.REGULAR_FILE) {
    const own = saving.flushLater === undefined ? -1 : libc.fcntl(descriptor.host, F_DUPFD_CLOEXEC, 0);
    if (own === -1) libc.fdatasync(descriptor.host);
    else saving.flushLater?.push(own);
  }
  if (statOf(host, descriptor.host) === -1) return lost(host, descriptor, common, "it cannot be read");
  const facts = factsInScratch(host);
  const regular = (facts.mode & constants.S_IFMT) === constants.S_IFREG;
  let place = descriptor.kept === undefined ? placeOf(host, descriptor.host, facts, saving) : undefined;
  let { identity } = descriptor;
  if (place === undefined && regular) {
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
  const offset = descriptor.transport === Transport.FILE ? positionOf(host, descriptor) : -1;
  // All fields in one literal, here and in saveDirectory: to the engine an object that was spread is of a new kind each time.
  return {
    number: common.number,
    rights: common.rights,
    inheriting: common.inheriting,
    fdflags: common.fdflags,
    kind: "file",
    place,
    readable: descriptor.readable,
    writable: descriptor.writable,
    offset: offset === -1 ? undefined : offset.toString(),
    identity: identity && {
      device: identity.device.toString(),
      inode: identity.inode.toString(),
      links: identity.links.toString(),
    },
    facts:
      !regular || "kept" in place
        ? undefined
        : {
            inode: facts.inode.toString(),
            byteLength: facts.byteLength.toString(),
            modified: facts.modified.toString(),
          },
  };
}

function lost(host: WasiHost, descriptor: Descriptor, common: Common, why: string): SavedDescriptor {
  host.options.warn(`${descriptor.path}: open in the guest as descriptor ${common.number}, but ${why}`);
  return { ...common, kind: "lost", path: descriptor.path };
}

function listingOf({ listing }: Descriptor): string | undefined {
  return listing === undefined || listing.finished ? undefined : listing.bytes.toString("base64");
}

/** The nth preopen with that guest name: names need not be unique, and their order may change. */
function nameOf(host: WasiHost, index: number): { guest: string; nth: number } {
  const { guest } = host.options.preopens[index]!;
  const nth = host.options.preopens.slice(0, index).filter((other) => other.guest === guest).length;
  return { guest, nth };
}

/** Where the open file is beneath a preopen; undefined: nowhere, or something else is there. */
function placeOf(
  host: WasiHost,
  descriptor: number,
  facts: FileFacts,
  { roots, place }: Pick<Saving, "roots" | "place">,
): Place | undefined {
  if (place !== undefined) return place;
  const path = pathOf(host, descriptor);
  if (path === undefined) return undefined;
  for (const { index, below } of belowRoots(path, roots)) {
    if (isAt(host, host.roots[index]!, below, facts)) return { ...nameOf(host, index), path: below };
  }
  return undefined;
}

/**
 * How places in each granted directory begin; undefined: it lies in another one, which its places are told by, or nobody knows
 * where it is.
 */
export function rootNames(
  host: WasiHost,
  roots: readonly (string | undefined)[],
): readonly ({ readonly guest: string; readonly nth: number } | undefined)[] {
  return roots.map((root, index) => {
    const [first] = root === undefined ? [] : belowRoots(root, roots);
    return first?.index === index ? nameOf(host, index) : undefined;
  });
}

/** Where a name in an open directory is, whether anything has that name or not; undefined: beneath no granted directory. */
export function placeOfName(
  host: WasiHost,
  directory: number,
  name: string,
  roots: readonly (string | undefined)[],
): Place | undefined {
  const path = pathOf(host, directory);
  if (path === undefined) return undefined;
  const [found] = belowRoots(path === "/" ? `/${name}` : `${path}/${name}`, roots);
  return found && { ...nameOf(host, found.index), path: found.below };
}

/** The granted directories that the path lies in, and the rest of it. */
function* belowRoots(
  path: string,
  roots: readonly (string | undefined)[],
): IterableIterator<{ readonly index: number; readonly below: string }> {
  for (const [index, root] of roots.entries()) {
    if (root === undefined) continue;
    const prefix = root === "/" ? "/" : `${root}/`;
    if (path === root) yield { index, below: "." };
    else if (path.startsWith(prefix)) yield { index, below: path.slice(prefix.length) };
  }
}

function isAt(host: WasiHost, root: number, path: string, facts: FileFacts): boolean {
  if (Buffer.byteLength(path) > 4095) return false;
  const address = host.scratch.setString(SCRATCH.pathA, path);
  const found = host.resolver.open(root, address, O_PATH | constants.O_NOFOLLOW, 0);
  if (found < 0) return false;
  const same = statOf(host, found) === 0;
  const { inode, device } = factsInScratch(host);
  host.libc.close(found);
  return same && inode === facts.inode && device === facts.device;
}

/** The kernel's name for an open file; of a removed one it ends in " (deleted)" and `isAt` finds nothing there. */
function pathOf(host: WasiHost, descriptor: number): string | undefined {
  const { libc, scratch } = host;
  const name = scratch.setString(SCRATCH.small, `/proc/self/fd/${descriptor}`);
  const byteLength = libc.readlinkat(AT_FDCWD, name, scratch.address + SCRATCH.link, 4096);
  return byteLength <= 0 ? undefined : scratch.bytes.toString("utf8", SCRATCH.link, SCRATCH.link + byteLength);
}
