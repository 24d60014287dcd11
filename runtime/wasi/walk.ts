import { constants } from "node:fs";
import { LINUX } from "./errno.js";
import type { Libc } from "./libc.js";
import { O_CLOEXEC, O_PATH } from "./linux-flags.js";
import { type HostBuffer, SCRATCH } from "./scratch.js";
import { STAT_MODE } from "./stat.js";

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW } = constants;
const SYMLINKS_MAXIMUM = 40; // as the kernel's
const DEPTH_MAXIMUM = 1000; // each level holds a descriptor while the walk lasts
const LINK_BYTES = 4096;
const EISDIR = 21;

/**
 * openat2(RESOLVE_BENEATH) for kernels without it: component by component, each opened with O_NOFOLLOW next to the
 * descriptor of the one before.
 *
 * W1  The kernel never follows a symlink for us: links are read and their targets' components take the link's place.
 * W2  ".." never asks the kernel for a parent, which a rename could have moved: it goes back to the descriptor that the
 *     walk itself came through. Above the start it is EXDEV.
 * W3  The last component too is opened with O_NOFOLLOW, so a symlink put there during the walk is read, not followed.
 *
 * `address` is in the scratch memory. The result is a host descriptor, or minus a Linux error number.
 */
export function walkBeneath(
  libc: Libc,
  scratch: HostBuffer,
  start: number,
  address: number,
  flags: number,
  mode: number,
): number {
  const from = address - scratch.address;
  const path = scratch.bytes.toString("latin1", from, scratch.bytes.indexOf(0, from)); // latin1 keeps every byte
  const walk = new Walk(libc, scratch, start, flags, mode);
  try {
    return walk.run(path);
  } finally {
    walk.end();
  }
}

class Walk {
  readonly #libc: Libc;
  readonly #scratch: HostBuffer;
  readonly #start: number;
  readonly #flags: number;
  readonly #mode: number;
  /** Descriptors of the directories we are in, the innermost last; the start is not ours to close. */
  readonly #trail: number[] = [];
  /** Components still to go, the next one last. */
  readonly #pending: string[] = [];
  #links = 0;
  /** A slash follows the last component. */
  #wantsDirectory = false;

  constructor(libc: Libc, scratch: HostBuffer, start: number, flags: number, mode: number) {
    this.#libc = libc;
    this.#scratch = scratch;
    this.#start = start;
    this.#flags = flags;
    this.#mode = mode;
  }

  run(path: string): number {
    this.#enter(path);
    if (this.#wantsDirectory && (this.#flags & O_CREAT) !== 0) return -EISDIR;
    for (;;) {
      const name = this.#pending.pop();
      if (name === undefined) return this.#open(this.#here, ".", this.#flags & ~O_NOFOLLOW);
      if (name === ".") continue;
      if (name === "..") {
        const left = this.#trail.pop();
        if (left === undefined) return -LINUX.EXDEV; // W2
        this.#libc.close(left);
        continue;
      }
      const result = this.#pending.length === 0 && !this.#wantsDirectory ? this.#openLast(name) : this.#descend(name);
      if (result !== undefined) return result;
    }
  }

  end(): void {
    for (const descriptor of this.#trail) this.#libc.close(descriptor);
  }

  get #here(): number {
    return this.#trail.at(-1) ?? this.#start;
  }

  /** Puts a path, or a link's target, in front of what is still to go. */
  #enter(path: string): void {
    if (this.#pending.length === 0 && path.endsWith("/")) this.#wantsDirectory = true;
    this.#pending.push(
      ...path
        .split("/")
        .filter((component) => component !== "")
        .reverse(),
    );
  }

  /** The final descriptor or error; undefined: it was a link, and its target is now what is still to go. */
  #openLast(name: string): number | undefined {
    const opened = this.#open(this.#here, name, this.#flags | O_NOFOLLOW); // W3
    if ((this.#flags & O_NOFOLLOW) !== 0) return opened;
    const isLink =
      opened === -LINUX.ELOOP ||
      (opened === -LINUX.ENOTDIR && (this.#flags & O_DIRECTORY) !== 0) ||
      (opened >= 0 && (this.#flags & O_PATH) !== 0 && this.#typeOf(opened) === constants.S_IFLNK);
    if (!isLink) return opened;
    if (opened >= 0) this.#libc.close(opened);
    const link = this.#open(this.#here, name, O_PATH | O_NOFOLLOW);
    if (link < 0) return link;
    if (this.#typeOf(link) !== constants.S_IFLNK) {
      this.#libc.close(link);
      if (opened === -LINUX.ENOTDIR) return opened;
      this.#pending.push(name); // replaced between two calls: what stands there now is opened like any other
      return ++this.#links > SYMLINKS_MAXIMUM ? -LINUX.ELOOP : undefined;
    }
    return this.#follow(link);
  }

  /** Goes into a directory, or through a link; the error, if that fails. */
  #descend(name: string): number | undefined {
    const step = this.#open(this.#here, name, O_PATH | O_NOFOLLOW);
    if (step < 0) return step;
    const type = this.#typeOf(step);
    if (type === constants.S_IFLNK) return this.#follow(step);
    this.#trail.push(step);
    if (type !== constants.S_IFDIR) return -LINUX.ENOTDIR;
    return this.#trail.length > DEPTH_MAXIMUM ? -LINUX.ENAMETOOLONG : undefined;
  }

  /** Reads and closes a link. */
  #follow(link: number): number | undefined {
    const { bytes, address } = this.#scratch;
    const byteLength = this.#libc.readlinkat(link, address + SCRATCH.empty, address + SCRATCH.link, LINK_BYTES);
    const errno = byteLength === -1 ? this.#libc.errno() : 0;
    this.#libc.close(link);
    if (errno !== 0) return -errno;
    if (++this.#links > SYMLINKS_MAXIMUM) return -LINUX.ELOOP;
    const target = bytes.toString("latin1", SCRATCH.link, SCRATCH.link + byteLength);
    if (target.startsWith("/")) return -LINUX.EXDEV;
    this.#enter(target);
    return undefined;
  }

  #open(directory: number, name: string, flags: number): number {
    const end = SCRATCH.link + this.#scratch.bytes.write(name, SCRATCH.link, LINK_BYTES, "latin1");
    this.#scratch.bytes[end] = 0;
    const address = this.#scratch.address + SCRATCH.link;
    const descriptor = this.#libc.openat(directory, address, flags | O_CLOEXEC, this.#mode);
    return descriptor >= 0 ? descriptor : -this.#libc.errno();
  }

  /** S_IFMT bits of what the descriptor is open on. */
  #typeOf(descriptor: number): number {
    const { address, view } = this.#scratch;
    this.#libc.fstat(descriptor, address + SCRATCH.stat);
    return view.getUint32(SCRATCH.stat + STAT_MODE, true) & constants.S_IFMT;
  }
}
