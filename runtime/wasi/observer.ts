/**
 * What a log of the host calls wants to know of the system interface: what a descriptor is and where it stands, what has
 * a name before a call takes the name away. Looks, and changes nothing that the guest could see.
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { Fdflags, Filetype } from "./abi.js";
import { Transport } from "./descriptors.js";
import { type Entry, entryInScratch } from "./entry.js";
import { Errno } from "./errno.js";
import type { WasiHost } from "./host.js";
import { FileKeeper } from "./kept-files.js";
import { AT_FDCWD, O_CLOEXEC } from "./linux-flags.js";
import { placeBeside } from "./other-names.js";
import { isAt, placeOfName, type RootPaths, rootIndexOf, rootNames, rootPaths } from "./places.js";
import { positionOf } from "./position.js";
import { closeParent, openParent, type PathArgument } from "./resolve.js";
import { saveJustOpened, saveNumber } from "./save.js";
import { SCRATCH } from "./scratch.js";
import { factsInScratch, isInScratch, statAt, statOf } from "./stat.js";
import type { Place, SavedDescriptor } from "./state.js";

const NOFOLLOW = 0x100;
const F_GETFL = 3;
/** Access, append, non-blocking and the sync flags: what a description is opened with, and not what opening does. */
const STATUS_FLAGS = 3 | constants.O_APPEND | constants.O_NONBLOCK | constants.O_SYNC | constants.O_DSYNC;

/** How bytes written to a descriptor land. */
export const Landing = {
  /** Not open, or nothing can be written. */
  NOWHERE: 0,
  /** At its position, which only we move. */
  AT_POSITION: 1,
  /** At its position, which another descriptor of the host shares. */
  AT_SHARED_POSITION: 2,
  /** At the end of the file. */
  AT_END: 3,
  /** In a pipe, terminal or socket: gone. */
  IN_STREAM: 4,
  /** At its position in a file that is our stdin, stdout or stderr: others may have it open as well. */
  AT_STDIO_POSITION: 5,
} as const;

/** Either may be undefined: nothing is there, or its directory is in none that was granted. */
interface At {
  readonly entry: Entry | undefined;
  readonly place: Place | undefined;
}

export class Observer {
  readonly #host: WasiHost;
  #roots: RootPaths | undefined;
  #rootNames: ReturnType<typeof rootNames> | undefined;

  constructor(host: WasiHost) {
    this.#host = host;
  }

  landingOf(fd: number): number {
    const descriptor = this.#host.table.get(fd);
    if (descriptor === undefined || descriptor.transport === Transport.NONE) return Landing.NOWHERE;
    if (descriptor.transport !== Transport.FILE) return Landing.IN_STREAM;
    if ((descriptor.fdflags & Fdflags.APPEND) !== 0 && descriptor.filetype === Filetype.REGULAR_FILE) {
      return Landing.AT_END;
    }
    if (descriptor.kind !== "stdio") return Landing.AT_POSITION;
    return this.#sharesPosition(fd) ? Landing.AT_SHARED_POSITION : Landing.AT_STDIO_POSITION;
  }

  /** stdout and stderr may be one file, with one position: what goes to the one moves the other. */
  #sharesPosition(fd: number): boolean {
    const { table, libc, scratch } = this.#host;
    const descriptor = table.get(fd);
    if (descriptor?.kind !== "stdio" || descriptor.filetype !== Filetype.REGULAR_FILE) return false;
    const identity = (host: number): string => {
      if (libc.fstat(host, scratch.address + SCRATCH.stat) === -1) return "";
      const { device, inode } = factsInScratch(this.#host);
      return `${device}:${inode}`;
    };
    const own = identity(descriptor.host);
    return [0, 1, 2].some((host) => host !== descriptor.host && identity(host) === own);
  }

  save(fd: number): SavedDescriptor | undefined {
    this.#roots ??= rootPaths(this.#host);
    return saveNumber(this.#host, fd, this.#roots);
  }

  /** The same of one that has just been opened by that path; `follows`: a symlink there would have been followed. */
  saveOpened(
    number: number,
    directory: number,
    follows: boolean,
    pointer: number,
    byteLength: number,
  ): SavedDescriptor | undefined {
    const host = this.#host;
    const opened = host.table.get(number);
    const from = host.table.get(directory);
    const path = host.pathA;
    if (opened === undefined || from?.kind !== "preopen") return this.save(number);
    if (path.take(host.memory, pointer >>> 0, byteLength >>> 0) !== Errno.SUCCESS) return this.save(number);
    if (!path.isName && path.text !== ".") return this.save(number); // elsewhere than in the granted directory, perhaps
    const place = this.#placeInRoot(from.index, path);
    if (place === undefined || statOf(host, opened.host) === -1) return this.save(number);
    const facts = factsInScratch(host);
    const isItself =
      !(follows && path.isName) ||
      (statAt(host, from.host, path.nameOffset, NOFOLLOW) === 0 && isInScratch(host, facts.device, facts.inode));
    return isItself && facts.links > 0n ? saveJustOpened(host, number, opened, place, facts) : this.save(number);
  }

  /** Where a name in a granted directory is, without asking the kernel. */
  #placeInRoot(index: number, path: PathArgument): Place | undefined {
    this.#roots ??= rootPaths(this.#host);
    this.#rootNames ??= rootNames(this.#host, this.#roots);
    const root = this.#rootNames[index];
    return root && { guest: root.guest, nth: root.nth, path: path.text };
  }

  /** Nanoseconds. */
  monotonic(): bigint {
    return this.#host.clocks.read().monotonic;
  }

  /** The length of the file behind a descriptor. */
  endOf(fd: number): bigint {
    const descriptor = this.#host.table.get(fd);
    if (descriptor === undefined || statOf(this.#host, descriptor.host) === -1) return 0n;
    return factsInScratch(this.#host).byteLength;
  }

  positionOf(fd: number): number {
    const descriptor = this.#host.table.get(fd);
    return descriptor === undefined ? -1 : Number(positionOf(this.#host, descriptor));
  }

  /** Where a restored descriptor should stand, if others may have moved it since; undefined: it is ours alone. */
  restoredPositionOf(fd: number): number | undefined {
    return this.#host.table.get(fd)?.wantedPosition;
  }

  seek(fd: number, position: number): void {
    const descriptor = this.#host.table.get(fd);
    if (descriptor === undefined) return;
    this.#host.libc.lseek(descriptor.host, position, 0);
    descriptor.position = -1;
  }

  /** What is in the file from `position` on; shorter where the file ends. */
  contentOf(fd: number, position: number, byteLength: number): Buffer {
    const descriptor = this.#host.table.get(fd);
    const bytes = Buffer.alloc(byteLength);
    if (descriptor === undefined) return bytes.subarray(0, 0);
    const file = openSync(`/proc/self/fd/${descriptor.host}`, constants.O_RDONLY); // ours is perhaps for writing only
    try {
      let filled = 0;
      while (filled < byteLength) {
        const read = readSync(file, bytes, filled, byteLength - filled, position + filled);
        if (read === 0) break;
        filled += read;
      }
      return bytes.subarray(0, filled);
    } finally {
      closeSync(file);
    }
  }

  /** What the guest's path names, a symlink itself; undefined: nothing, or the path leads nowhere. */
  entryAt(fd: number, pointer: number, byteLength: number): Entry | undefined {
    return this.#at(fd, pointer, byteLength, false).entry;
  }

  /** The same, and where that name is. */
  entryAndPlaceAt(fd: number, pointer: number, byteLength: number): At {
    return this.#at(fd, pointer, byteLength, true);
  }

  #at(fd: number, pointer: number, byteLength: number, withPlace: boolean): At {
    const nothing = { entry: undefined, place: undefined };
    const host = this.#host;
    const directory = host.table.get(fd);
    if (directory === undefined || !directory.isDirectory || directory.host < 0) return nothing;
    const path = host.pathA;
    if (path.take(host.memory, pointer >>> 0, byteLength >>> 0) !== Errno.SUCCESS) return nothing;
    if (path.isDots) return nothing;
    const parent = openParent(host, directory.host, path);
    if (parent < 0) return nothing;
    const entry = statAt(host, parent, path.nameOffset, NOFOLLOW) === 0 ? entryInScratch(host) : undefined;
    let place: Place | undefined;
    if (withPlace) {
      this.#roots ??= rootPaths(host);
      const inRoot = directory.kind === "preopen" && path.isName ? this.#placeInRoot(directory.index, path) : undefined;
      place = inRoot ?? placeOfName(host, parent, nameOf(path), this.#roots);
    }
    closeParent(host, directory.host, parent);
    return { entry, place };
  }

  /** Whether that very file has a name there. */
  isAt(place: Place, { device, inode }: Entry): boolean {
    const host = this.#host;
    if ("kept" in place) return false;
    const root = rootIndexOf(host, place);
    if (root < 0) return false;
    return isAt(host, host.roots[root] ?? -1, place.path, { device: BigInt(device), inode: BigInt(inode) });
  }

  /** Another name of a file with several, one of which is there; undefined: none was found. */
  placeBeside(place: Place, { device, inode }: Entry): Place | undefined {
    if ("kept" in place) return undefined;
    return placeBeside(this.#host, { device: BigInt(device), inode: BigInt(inode) }, place);
  }

  /**
   * Before the last name of an open file goes: the file gets a name in the directory of kept files, as every descriptor of it
   * is told. Its name there, and the descriptors' numbers; undefined: it is not open.
   */
  keepOpen({ device, inode }: Entry): { readonly kept: string | undefined; readonly numbers: readonly number[] } {
    const host = this.#host;
    const [wantedDevice, wantedInode] = [BigInt(device), BigInt(inode)];
    const low = Number(BigInt.asUintN(32, wantedInode));
    const open = [...host.table.all()].filter(([, { kind, host: descriptor, filetype, inodeLow }]) => {
      if (kind !== "file" || filetype !== Filetype.REGULAR_FILE) return false;
      if (inodeLow !== -1 && inodeLow !== low) return false;
      return statOf(host, descriptor) !== -1 && isInScratch(host, wantedDevice, wantedInode);
    });
    const [first] = open;
    if (first === undefined) return { kept: undefined, numbers: [] };
    const kept = new FileKeeper(host).link(first[1], inode);
    return { kept, numbers: open.map(([number]) => number) };
  }

  /**
   * A persistence point has copied the content of a file without a name: from here on the guest writes to the copy, so that
   * the file goes on from it after a kill. False: others see that file under another name, and it must stay theirs.
   */
  moveToKept(number: number, name: string): boolean {
    const host = this.#host;
    const { libc, scratch, options } = host;
    const descriptor = host.table.get(number);
    if (descriptor === undefined || descriptor.kept === name) return true;
    if (options.keptFilesDirectory === undefined || statOf(host, descriptor.host) === -1) return false;
    const { device, inode, links } = factsInScratch(host);
    const flags = libc.fcntl(descriptor.host, F_GETFL, 0);
    if (links > 0n || flags === -1) return false;
    const path = scratch.setString(SCRATCH.pathA, join(options.keptFilesDirectory, name));
    const opened = libc.openat(AT_FDCWD, path, (flags & STATUS_FLAGS) | constants.O_NOFOLLOW | O_CLOEXEC, 0);
    if (opened === -1) return false;
    libc.lseek(opened, positionOf(host, descriptor), 0);
    descriptor.position = -1;
    libc.close(descriptor.host);
    descriptor.host = opened;
    descriptor.inodeLow = -1;
    descriptor.kept = name;
    descriptor.identity ??= { device, inode, links };
    return true;
  }

  /** The file has not lost its last name after all: the one that `keepOpen` gave, which the guest could count, goes. */
  notKept(name: string): void {
    new FileKeeper(this.#host).unlink(name);
  }

  /** The name that `keepOpen` gave is where these descriptors' file is from now on. */
  kept(numbers: readonly number[], name: string): void {
    for (const number of numbers) {
      const descriptor = this.#host.table.get(number);
      if (descriptor === undefined || statOf(this.#host, descriptor.host) === -1) continue;
      const { device, inode } = factsInScratch(this.#host);
      descriptor.kept = name;
      descriptor.identity = { device, inode, links: 0n };
    }
  }
}

function nameOf(path: PathArgument): string {
  return path.text.slice(path.text.lastIndexOf("/", path.text.length - (path.trailingSlash ? 2 : 1)) + 1);
}
