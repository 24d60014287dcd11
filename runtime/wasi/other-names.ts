/**
 * Another name of an open file whose own is gone: link(a, b), unlink(a). The kernel tells only the name that a file was opened
 * by, so the granted directories are searched for the inode, the one that the file was in first.
 */
import { isUtf8 } from "node:buffer";
import { constants } from "node:fs";
import { dirname, join } from "node:path";
import type { Descriptor } from "./descriptors.js";
import type { WasiHost } from "./host.js";
import { Listing } from "./listing.js";
import { belowRoots, isAt, nameOf, pathOf, type RootPaths, rootIndexOf } from "./places.js";
import { SCRATCH } from "./scratch.js";
import { type FileFacts, factsInScratch, statOf } from "./stat.js";
import type { Place } from "./state.js";

/** In all: some 0.2 s. A file that is not found among so many goes on as one without a name. */
const ENTRIES_MAXIMUM = 100_000;

/** Beneath the granted directory with that index. */
interface Name {
  readonly index: number;
  readonly path: string;
}

type FileIdentity = Pick<FileFacts, "device" | "inode">;
type NamedPlace = Exclude<Place, { readonly kept: string }>;

/** Of an open file whose own name is gone. Undefined: none was found. */
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
      : search(host, facts, formerFolder(host, descriptor, roots), undefined);
  descriptor.otherName = found;
  return found && { ...nameOf(host, found.index), path: found.path };
}

/** Of a file that is about to lose the name at `place`. Undefined: none was found. */
export function placeBeside(host: WasiHost, file: FileIdentity, place: NamedPlace): Place | undefined {
  const index = rootIndexOf(host, place);
  if (index < 0) return undefined;
  const found = search(host, file, [{ index, path: dirname(place.path) }], { index, path: place.path });
  return found && { ...nameOf(host, found.index), path: found.path };
}

/** Where it had its name, as far as that is a granted directory. */
function formerFolder(host: WasiHost, descriptor: Descriptor, roots: RootPaths): readonly Name[] {
  const path = pathOf(host, descriptor.host);
  const folders = path === undefined ? [] : belowRoots(dirname(path), roots);
  return [...folders].map(({ index, below }) => ({ index, path: below }));
}

/** Breadth first, from these folders on. */
function search(
  host: WasiHost,
  file: FileIdentity,
  first: readonly Name[],
  except: Name | undefined,
): Name | undefined {
  const seen = new Set<bigint>();
  const folders = [...first, ...host.roots.map((_, index) => ({ index, path: "." }))];
  let left = ENTRIES_MAXIMUM;
  for (const folder of folders) {
    const listing = listingOf(host, folder, file.device, seen);
    for (const { inode, isDirectory, name } of listing?.entries() ?? []) {
      if (left-- === 0) return undefined;
      if (!isUtf8(name) || (!isDirectory && inode !== file.inode)) continue;
      const text = name.toString("utf8");
      if (text === "." || text === "..") continue;
      const found = { index: folder.index, path: join(folder.path, text) };
      if (isDirectory) folders.push(found);
      else if (!isSame(found, except) && isAt(host, host.roots[found.index]!, found.path, file)) return found;
    }
  }
  return undefined;
}

function isSame(name: Name, other: Name | undefined): boolean {
  return name.index === other?.index && name.path === other.path;
}

/** Of a directory that was not `seen` yet; files on other devices are others. */
function listingOf(host: WasiHost, folder: Name, device: bigint, seen: Set<bigint>): Listing | undefined {
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
