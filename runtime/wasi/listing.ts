import { Filetype, filetypeOfDirent, filetypeOfMode } from "./abi.js";
import { LINUX } from "./errno.js";
import type { WasiHost } from "./host.js";
import { HostBuffer, SCRATCH } from "./scratch.js";
import { factsInScratch, modeInScratch, statAt, statOf } from "./stat.js";

const DIRENT = 24; // d_next u64, d_ino u64, d_namlen u32, d_type u8, padding
const GETDENTS_BYTES = 32768;
const NOFOLLOW = 0x100;

/**
 * A directory as it was when its listing began (cookie 0), in the form fd_readdir hands out: the entries one after the
 * other. Cookie N means the Nth entry, whatever is created, removed or renamed meanwhile, and also after a resume: the
 * listing is part of the saved state until the guest has read it to its end.
 */
export class Listing {
  readonly bytes: Buffer;
  /** Where each entry begins; one more for the end. */
  readonly offsets: number[];
  /** The guest saw the end. */
  finished = false;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.offsets = [];
    let offset = 0;
    while (offset + DIRENT <= bytes.length) {
      this.offsets.push(offset);
      offset += DIRENT + bytes.readUInt32LE(offset + 16);
    }
    this.offsets.push(bytes.length);
  }

  *entries(): IterableIterator<{ readonly inode: bigint; readonly isDirectory: boolean; readonly name: Buffer }> {
    for (const at of this.offsets.slice(0, -1)) {
      const from = at + DIRENT;
      yield {
        inode: this.bytes.readBigUInt64LE(at + 8),
        isDirectory: this.bytes.readUInt8(at + 20) === Filetype.DIRECTORY,
        name: this.bytes.subarray(from, from + this.bytes.readUInt32LE(at + 16)),
      };
    }
  }

  /** Reads the directory behind `descriptor` anew; a Linux error number if that fails. */
  static read(host: WasiHost, descriptor: number): Listing | number {
    const { libc } = host;
    if (statOf(host, descriptor) === -1) return libc.errno();
    const own = factsInScratch(host).inode;
    const chunks = [entry(1n, own, 3, Buffer.from(".")), entry(2n, own, 3, Buffer.from(".."))];
    if (libc.lseek(descriptor, 0, 0) === -1) return libc.errno();
    const buffer = new HostBuffer(libc, GETDENTS_BYTES);
    let next = 3n;
    for (;;) {
      const read = libc.getdents64(descriptor, buffer.address, GETDENTS_BYTES);
      if (read === -1) {
        const errno = libc.errno();
        if (errno === LINUX.ENOENT) break; // the directory itself was removed: it has no entries
        return errno;
      }
      if (read === 0) break;
      for (let at = 0; at < read; at += buffer.view.getUint16(at + 16, true)) {
        const start = at + 19;
        const name = Buffer.from(buffer.bytes.subarray(start, buffer.bytes.indexOf(0, start)));
        if (name.equals(DOT) || name.equals(DOT_DOT)) continue;
        const type = filetypeOfDirent(buffer.view.getUint8(at + 18)) ?? filetypeByName(host, descriptor, name);
        chunks.push(entry(next, buffer.view.getBigUint64(at, true), type, name));
        next++;
      }
    }
    return new Listing(Buffer.concat(chunks));
  }
}

const DOT = Buffer.from(".");
const DOT_DOT = Buffer.from("..");

function entry(next: bigint, inode: bigint, type: number, name: Buffer): Buffer {
  const bytes = Buffer.alloc(DIRENT + name.length);
  bytes.writeBigUInt64LE(next, 0);
  bytes.writeBigUInt64LE(inode, 8);
  bytes.writeUInt32LE(name.length, 16);
  bytes.writeUInt8(type, 20);
  name.copy(bytes, DIRENT);
  return bytes;
}

/** For file systems whose directories do not say. */
function filetypeByName(host: WasiHost, directory: number, name: Buffer): number {
  name.copy(host.scratch.bytes, SCRATCH.link);
  host.scratch.bytes[SCRATCH.link + name.length] = 0;
  if (statAt(host, directory, SCRATCH.link, NOFOLLOW) !== 0) return 0;
  return filetypeOfMode(modeInScratch(host));
}
