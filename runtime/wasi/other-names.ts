/**
 * Another name of an open file whose own is gone: link(a, b), unlink(a). The kernel tells only the name that a file was opened
 * by, so the granted directories are searched for the inode, the one that the file was in first.
 */
import { isUtf8 } from "node:buffer";
import { constants } from "node:fs";
import type { Descriptor } from "./descriptors.js";
import type { WasiHost } from "./host.js";
import { Listing } from "./listing.js";
import { belowRoots, isAt, nameOf, pathOf, type RootPaths } from "./places.js";
import { SCRATCH } from "./scratch.js";
import { type FileFacts, factsInScratch, statOf } from "./stat.js";
import type { Place } from "./state.js";

/** In all: some 0.1 s. A file that is not found among so many goes on as one without a name. */
const ENTRIES_MAXIMUM = 100_000;

/** Beneath the granted directory with that index. */
interface Folder {
  readonly index: number;
  readonly path: string;
}

/** Undefined: none was found. */
export function otherPlaceOf(
  host: WasiHost,
  descriptor: Descriptor,
  facts: FileFacts,
  roots: RootPaths,
): Place | undefined {
  const known = descriptor.otherName;
  const found =
    known !== undefined && isAt(host, host.roots[known.index]!, known.path, facts)
      ? known
      : search(host, facts, [
          ...formerFolder(host, descriptor, roots),
          ...roots.map((_, index) => ({ index, path: "." })),
        ]);
  descriptor.otherName = found;
  return found && { ...nameOf(host, found.index), path: found.path };
}

/** Where it had its name, as far as that is a granted directory. */
function formerFolder(host: WasiHost, descriptor: Descriptor, roots: RootPaths): readonly Folder[] {
  const path = pathOf(host, descriptor.host) ?? "";
  const folders = belowRoots(path.slice(0, path.lastIndexOf("/")), roots);
  return [...folders].map(({ index, below }) => ({ index, path: below }));
}

/** Breadth first. */
function search(host: WasiHost, facts: FileFacts, folders: Folder[]): Folder | undefined {
  const seen = new Set<bigint>();
  let left = ENTRIES_MAXIMUM;
  for (const folder of folders) {
    const listing = listingOf(host, folder, facts.device, seen);
    for (const { inode, isDirectory, name } of listing?.entries() ?? []) {
      if (left-- === 0) return undefined;
      if (!isUtf8(name) || (!isDirectory && inode !== facts.inode)) continue;
      const text = name.toString("utf8");
      if (text === "." || text === "..") continue;
      const path = folder.path === "." ? text : `${folder.path}/${text}`;
      const entry = { index: folder.index, path };
      if (isDirectory) folders.push(entry);
      else if (isAt(host, host.roots[folder.index]!, path, facts)) return entry;
    }
  }
  return undefined;
}

/** Of a directory that was not `seen` yet; files on other devices are others. */
function listingOf(host: WasiHost, folder: Folder, device: bigint, seen: Set<bigint>): Listing | undefined {
  if (Buffer.byteLength(folder.path) > 4095) return undefined;
  const address = host.scratch.setString(SCRATCH.pathA, folder.path);
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NOCTTY;
  const opened = host.resolver.open(host.roots[folder.index]!, address, flags, 0);
  if (opened < 0) return undefined;
  try {
    if (statOf(host, opened) === -1) return undefined;
    const { device: own, inode } = factsInScratch(host);
    if (own !== device || seen.has(inode)) return undefined;
    seen.add(inode);
    const listing = Listing.read(host, opened);
    return typeof listing === "number" ? undefined : listing;
  } finally {
    host.libc.close(opened);
  }
}
