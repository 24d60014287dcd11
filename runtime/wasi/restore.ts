import { constants, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getSystemErrorMap } from "node:util";
import { VermilionError } from "../../pmem/error.js";
import { Fdflags, Filetype, filetypeOfMode, RIGHTS_ALL, Rights } from "./abi.js";
import { Descriptor, Transport } from "./descriptors.js";
import { LINUX } from "./errno.js";
import type { WasiHost } from "./host.js";
import { AT_FDCWD, O_CLOEXEC } from "./linux-flags.js";
import { openListener } from "./listen.js";
import { Listing } from "./listing.js";
import { describeOpened, hostFlags } from "./path-open.js";
import { rootIndexOf } from "./places.js";
import { SCRATCH } from "./scratch.js";
import { connectionDescriptor } from "./sock.js";
import { type FileFacts, factsInScratch, statOf } from "./stat.js";
import type { Place, SavedDescriptor, SavedFacts } from "./state.js";
import { stdioDescriptor } from "./stdio.js";

const MODE_DIRECTORY = { readable: true, writable: false, fdflags: 0 };

type Saved<Kind extends SavedDescriptor["kind"]> = Extract<SavedDescriptor, { kind: Kind }>;

/** Puts every saved descriptor back at its number. `preopen` makes the descriptor of the nth granted directory. */
export function restoreDescriptors(
  host: WasiHost,
  saved: readonly SavedDescriptor[],
  preopen: (index: number) => Descriptor,
): void {
  for (const entry of saved) {
    const descriptor = restoreDescriptor(host, entry, preopen);
    // Rights only ever shrink: what the fresh descriptor may do, without what the guest had given up.
    descriptor.rights &= entry.kind === "stdio" ? entry.rights | Rights.FD_SEEK | Rights.FD_TELL : entry.rights;
    descriptor.inheriting &= entry.inheriting;
    host.table.set(entry.number, descriptor);
  }
}

function restoreDescriptor(host: WasiHost, entry: SavedDescriptor, preopen: (index: number) => Descriptor): Descriptor {
  switch (entry.kind) {
    case "stdio":
      return restoreStdio(host, entry);
    case "preopen": {
      const descriptor = preopen(preopenIndex(host, entry.guest, entry.nth));
      descriptor.listing = restoreListing(entry.listing);
      return descriptor;
    }
    case "directory":
      return restoreDirectory(host, entry);
    case "file":
      return restoreFile(host, entry);
    case "listener":
      return restoreListener(host, entry);
    case "reset": {
      const descriptor = connectionDescriptor(-1, entry.fdflags & Fdflags.NONBLOCK);
      descriptor.told = entry.told;
      return descriptor;
    }
    case "lost":
      return lostDescriptor(entry.path);
  }
}

/**
 * Pipes and terminals are new ones. A regular file goes on where the guest was, if it is the same file, undiminished; but
 * output never goes back: a file that stands further on is shared with others, our own messages perhaps, who wrote meanwhile.
 */
function restoreStdio(host: WasiHost, entry: Saved<"stdio">): Descriptor {
  const descriptor = stdioDescriptor(host, entry.stream);
  descriptor.fdflags |= entry.fdflags & Fdflags.NONBLOCK;
  if (entry.offset === undefined || descriptor.filetype !== Filetype.REGULAR_FILE) return descriptor;
  if ((descriptor.fdflags & Fdflags.APPEND) !== 0 || statOf(host, descriptor.host) === -1) return descriptor;
  const { inode, byteLength } = factsInScratch(host);
  const offset = BigInt(entry.offset);
  if (inode.toString() !== entry.inode || byteLength < offset) return descriptor;
  descriptor.wantedPosition = Number(offset);
  const mayGoBack = entry.stream === 0 && host.options.inputGoesBack;
  if (mayGoBack || host.libc.lseek(descriptor.host, 0, 1) < offset) host.libc.lseek(descriptor.host, offset, 0);
  return descriptor;
}

/** PREOPEN_MISSING: whoever resumes must grant the directory again, under the name the guest knows. */
function preopenIndex(host: WasiHost, guest: string, nth: number): number {
  const index = rootIndexOf(host, { guest, nth });
  if (index >= 0) return index;
  throw new VermilionError(
    "PREOPEN_MISSING",
    `the saved process has the directory ${guest} open: grant it again (--dir HOST::${guest})`,
  );
}

function restoreListing(encoded: string | undefined): Listing | undefined {
  return encoded === undefined ? undefined : new Listing(Buffer.from(encoded, "base64"));
}

function restoreDirectory(host: WasiHost, entry: Saved<"directory">): Descriptor {
  const { place } = entry;
  const opened = place === undefined ? openRemovedDirectory(host) : openPlace(host, place, directoryFlags());
  const path = place === undefined ? "<removed>" : placeText(place);
  if (opened < 0) return missing(host, path, "it is no longer there");
  if (statOf(host, opened) === -1 || filetypeOfMode(factsInScratch(host).mode) !== Filetype.DIRECTORY) {
    host.libc.close(opened);
    return missing(host, path, "it is no directory any more");
  }
  const descriptor = describeOpened(host, opened, MODE_DIRECTORY, path);
  descriptor.listing = restoreListing(entry.listing);
  return descriptor;
}

function directoryFlags(): number {
  return constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOCTTY;
}

/** A directory that was removed while open has no entries and takes none: one that we make and remove is the same. */
function openRemovedDirectory(host: WasiHost): number {
  const path = mkdtempSync(join(host.options.keptFilesDirectory ?? tmpdir(), "removed-"));
  const address = host.scratch.setString(SCRATCH.pathA, path);
  const opened = host.libc.openat(AT_FDCWD, address, directoryFlags() | O_CLOEXEC, 0);
  rmdirSync(path);
  return opened;
}

function restoreFile(host: WasiHost, entry: Saved<"file">): Descriptor {
  const { place, readable, writable, fdflags } = entry;
  const path = placeText(place);
  const mode = { readable, writable, fdflags };
  const opened = openPlace(host, place, hostFlags(mode));
  if (opened < 0) return missing(host, path, `it cannot be opened again: ${reasonOf(opened)}`);
  if (statOf(host, opened) === -1) {
    host.libc.close(opened);
    return missing(host, path, "it cannot be read");
  }
  const facts = factsInScratch(host);
  const type = filetypeOfMode(facts.mode);
  const wasRegular = entry.facts !== undefined || "kept" in place;
  if (type === Filetype.DIRECTORY || wasRegular !== (type === Filetype.REGULAR_FILE)) {
    host.libc.close(opened);
    return missing(host, path, "it is of another type now");
  }
  if ("kept" in place && facts.links !== 1n) {
    host.libc.close(opened);
    throw new VermilionError("IMAGE_DAMAGED", `the kept file ${path} has other names too; it is none that we made`);
  }
  const descriptor = describeOpened(host, opened, mode, path);
  try {
    if (entry.facts !== undefined) checkUnchanged(host, path, entry.facts, facts);
  } catch (error) {
    host.libc.close(opened);
    throw error;
  }
  if (entry.offset !== undefined && descriptor.transport === Transport.FILE) {
    host.libc.lseek(opened, BigInt(entry.offset), 0);
  }
  if ("kept" in place) descriptor.kept = place.kept;
  if (entry.identity !== undefined) {
    const { device, inode, links } = entry.identity;
    descriptor.identity = { device: BigInt(device), inode: BigInt(inode), links: BigInt(links) };
  }
  return descriptor;
}

/** FILE_CHANGED, a warning, or nothing, as the caller wants it. */
function checkUnchanged(host: WasiHost, path: string, before: SavedFacts, now: FileFacts): void {
  const differences: string[] = [];
  if (before.inode !== now.inode.toString()) differences.push("it is another file");
  if (before.byteLength !== undefined && before.byteLength !== now.byteLength.toString()) {
    differences.push(`its length is ${now.byteLength}, not ${before.byteLength}`);
  }
  if (before.modified !== undefined && before.modified !== now.modified.toString()) differences.push("it was modified");
  if (differences.length > 0) changed(host, path, `changed since the failure: ${differences.join(", ")}`);
}

function changed(host: WasiHost, path: string, what: string): void {
  switch (host.options.onChangedFile) {
    case "fail":
      throw new VermilionError(
        "FILE_CHANGED",
        `${path}: ${what}; put it back as it was, or resume with --on-changed-file warn`,
      );
    case "warn":
      host.options.warn(`${path}: ${what}`);
      break;
    case "ignore":
      break;
  }
}

function missing(host: WasiHost, path: string, what: string): Descriptor {
  changed(host, path, what);
  return lostDescriptor(path);
}

/** In words, with the error's name. */
function reasonOf(minusErrno: number): string {
  const [name, text] = getSystemErrorMap().get(minusErrno) ?? [`error ${-minusErrno}`, "the system says no more"];
  return `${text} (${name})`;
}

/** Every use of it says STALE, as of a file that a file server lost. */
function lostDescriptor(path: string): Descriptor {
  return new Descriptor({
    kind: "lost",
    host: -1,
    owned: false,
    transport: Transport.NONE,
    filetype: Filetype.UNKNOWN,
    rights: RIGHTS_ALL,
    inheriting: RIGHTS_ALL,
    fdflags: 0,
    readable: false,
    writable: false,
    index: -1,
    path,
  });
}

/** Opens what exists: no flag here creates or cuts a file. A host descriptor, or minus a Linux error number. */
function openPlace(host: WasiHost, place: Place, flags: number): number {
  const { libc, scratch, options } = host;
  if ("kept" in place) {
    if (options.keptFilesDirectory === undefined) return -LINUX.ENOENT;
    const path = scratch.setString(SCRATCH.pathA, join(options.keptFilesDirectory, place.kept));
    const opened = libc.openat(AT_FDCWD, path, flags | constants.O_NOFOLLOW | O_CLOEXEC, 0);
    return opened >= 0 ? opened : -libc.errno();
  }
  const root = host.roots[preopenIndex(host, place.guest, place.nth)]!;
  return host.resolver.open(root, scratch.setString(SCRATCH.pathA, place.path), flags, 0);
}

function placeText(place: Place): string {
  return "kept" in place ? place.kept : `${place.guest}/${place.path}`.replace(/^\/\//, "/");
}

/** The same address, granted again; it is listened on again, at the same port. */
function restoreListener(host: WasiHost, entry: Saved<"listener">): Descriptor {
  const index = host.options.listen.indexOf(entry.address);
  if (index < 0) {
    throw new VermilionError(
      "LISTEN_MISSING",
      `the saved process listens on ${entry.address}: grant it again (-S tcplisten=${entry.address})`,
    );
  }
  const descriptor = openListener(host.libc, host.scratch, entry.address, entry.port, index);
  descriptor.fdflags = entry.fdflags & Fdflags.NONBLOCK;
  return descriptor;
}
