import type { Listing } from "./listing.js";

/** How bytes move through a descriptor's host descriptor. */
export const Transport = {
  /** Never blocks for long: regular files, block devices, /dev/null and its like. No poll, one call. */
  FILE: 0,
  /** The host descriptor is non-blocking and ours alone: try, and poll on EAGAIN. */
  STREAM: 1,
  /** A blocking host descriptor that others share: poll first, then move no more than a pipe has room for. */
  POLLED: 2,
  /** recvmsg and sendmsg with MSG_DONTWAIT; poll on EAGAIN. */
  SOCKET: 3,
  /** Nothing moves: directories, listening sockets, lost descriptors. */
  NONE: 4,
} as const;

/**
 * stdio       one of the host's three, by its role; never closed by us beyond our own duplicate
 * preopen     a directory granted by the caller
 * directory, file   opened by the guest beneath a preopen ("file" is everything that is no directory)
 * listener    a listening socket granted by the caller
 * connection  an accepted socket
 * reset       a connection that a power failure cut
 * lost        a file or directory that was gone when the process resumed: every use says STALE
 */
export type DescriptorKind = "stdio" | "preopen" | "directory" | "file" | "listener" | "connection" | "reset" | "lost";

/** What fd_filestat_get goes on telling of a file whose content had to be moved into the image. */
export interface Identity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly links: bigint;
}

/** One open descriptor of the guest. */
export class Descriptor {
  kind: DescriptorKind;
  /** The host's descriptor; -1: none. */
  host: number;
  /** Whether closing the guest's descriptor closes the host's. */
  owned: boolean;
  transport: number;
  filetype: number;
  rights: number;
  inheriting: number;
  fdflags: number;
  /** Access of the host descriptor. */
  readable: boolean;
  writable: boolean;
  /** stdio: 0, 1 or 2; preopen and listener: index among those granted; else -1. */
  index: number;
  /** Preopens: the guest's name. Others: the path it was opened with, for people; the truth is asked of the kernel. */
  path: string;
  /** Where the next read or write goes; -1: the host's descriptor knows (L1 in position.ts). */
  position = -1;
  /** A named pipe opened for reading: before a writer came, read(2) would say end of file, poll(2) waits. */
  pollFirst = false;
  /** The low half of its inode's number; -1: not known. */
  inodeLow = -1;
  listing: Listing | undefined = undefined;
  identity: Identity | undefined = undefined;
  /** Name in the directory of kept files, when the file lives there. */
  kept: string | undefined = undefined;
  /** Where a file was last found whose own name is gone: beneath the granted directory with that index. */
  otherName: { readonly index: number; readonly path: string } | undefined = undefined;
  /** stdio that is a regular file: where the saved process stood. Others may have moved the position since. */
  wantedPosition: number | undefined = undefined;
  /** reset: whether the guest was told already. */
  told = false;

  constructor(fields: {
    kind: DescriptorKind;
    host: number;
    owned: boolean;
    transport: number;
    filetype: number;
    rights: number;
    inheriting: number;
    fdflags: number;
    readable: boolean;
    writable: boolean;
    index: number;
    path: string;
  }) {
    this.kind = fields.kind;
    this.host = fields.host;
    this.owned = fields.owned;
    this.transport = fields.transport;
    this.filetype = fields.filetype;
    this.rights = fields.rights;
    this.inheriting = fields.inheriting;
    this.fdflags = fields.fdflags;
    this.readable = fields.readable;
    this.writable = fields.writable;
    this.index = fields.index;
    this.path = fields.path;
  }

  get isDirectory(): boolean {
    return this.kind === "directory" || this.kind === "preopen";
  }
}

/** The guest's numbers. A new descriptor gets the lowest free one, as in POSIX. */
export class DescriptorTable {
  readonly maximum: number;
  readonly #entries: (Descriptor | undefined)[] = [];
  /** No number below this one is free. */
  #lowest = 0;
  #count = 0;

  constructor(maximum: number) {
    this.maximum = maximum;
  }

  /** Any number may be asked for: those out of range are not open. */
  get(number: number): Descriptor | undefined {
    return this.#entries[number];
  }

  get isFull(): boolean {
    return this.#count >= this.maximum;
  }

  add(descriptor: Descriptor): number {
    let number = this.#lowest;
    while (this.#entries[number] !== undefined) number++;
    this.set(number, descriptor);
    this.#lowest = number + 1;
    return number;
  }

  /** The place must be free. */
  set(number: number, descriptor: Descriptor): void {
    while (this.#entries.length < number) this.#entries.push(undefined);
    this.#entries[number] = descriptor;
    this.#count++;
  }

  remove(number: number): void {
    if (this.#entries[number] === undefined) return;
    this.#entries[number] = undefined;
    this.#count--;
    if (number < this.#lowest) this.#lowest = number;
  }

  *all(): IterableIterator<[number, Descriptor]> {
    for (const [number, descriptor] of this.#entries.entries()) {
      if (descriptor !== undefined) yield [number, descriptor];
    }
  }
}
