/** Where a file is in the guest's terms: beneath a granted directory, as the kernel and not as a memory of ours has it. */
import { constants } from "node:fs";
import type { WasiHost } from "./host.js";
import { AT_FDCWD, O_PATH } from "./linux-flags.js";
import { SCRATCH } from "./scratch.js";
import { type FileFacts, isInScratch, statOf } from "./stat.js";
import type { Place } from "./state.js";

/** Where the granted directories are; undefined: nobody knows. */
export type RootPaths = readonly (string | undefined)[];

export function rootPaths(host: WasiHost): RootPaths {
  return host.roots.map((root) => pathOf(host, root));
}

/** The nth preopen with that guest name: names need not be unique, and their order may change. */
export function nameOf(host: WasiHost, index: number): { guest: string; nth: number } {
  const { guest } = host.options.preopens[index]!;
  const nth = host.options.preopens.slice(0, index).filter((other) => other.guest === guest).length;
  return { guest, nth };
}

/** Of the granted directory that `nameOf` calls so; -1: there is none. */
export function rootIndexOf(host: WasiHost, { guest, nth }: { readonly guest: string; readonly nth: number }): number {
  let left = nth;
  return host.options.preopens.findIndex((preopen) => preopen.guest === guest && left-- === 0);
}

/** Where the open file is beneath a preopen; undefined: nowhere, or something else is there. */
export function placeOf(host: WasiHost, descriptor: number, facts: FileFacts, roots: RootPaths): Place | undefined {
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
  roots: RootPaths,
): readonly ({ readonly guest: string; readonly nth: number } | undefined)[] {
  return roots.map((root, index) => {
    const [first] = root === undefined ? [] : belowRoots(root, roots);
    return first?.index === index ? nameOf(host, index) : undefined;
  });
}

/** Where a name in an open directory is, whether anything has that name or not; undefined: beneath no granted directory. */
export function placeOfName(host: WasiHost, directory: number, name: string, roots: RootPaths): Place | undefined {
  const path = pathOf(host, directory);
  if (path === undefined) return undefined;
  const [found] = belowRoots(path === "/" ? `/${name}` : `${path}/${name}`, roots);
  return found && { ...nameOf(host, found.index), path: found.below };
}

/** The granted directories that the path lies in, and the rest of it. */
export function* belowRoots(
  path: string,
  roots: RootPaths,
): IterableIterator<{ readonly index: number; readonly below: string }> {
  for (const [index, root] of roots.entries()) {
    if (root === undefined) continue;
    const prefix = root === "/" ? "/" : `${root}/`;
    if (path === root) yield { index, below: "." };
    else if (path.startsWith(prefix)) yield { index, below: path.slice(prefix.length) };
  }
}

/** Whether that very file has the name `path` beneath an open directory. */
export function isAt(
  host: WasiHost,
  directory: number,
  path: string,
  { device, inode }: Pick<FileFacts, "device" | "inode">,
): boolean {
  if (Buffer.byteLength(path) > 4095) return false;
  const address = host.scratch.setString(SCRATCH.pathA, path);
  const found = host.resolver.open(directory, address, O_PATH | constants.O_NOFOLLOW, 0);
  if (found < 0) return false;
  const isSame = statOf(host, found) === 0 && isInScratch(host, device, inode);
  host.libc.close(found);
  return isSame;
}

/** The kernel's name for an open file; of a removed one it ends in " (deleted)" and `isAt` finds nothing there. */
export function pathOf(host: WasiHost, descriptor: number): string | undefined {
  const { libc, scratch } = host;
  const name = scratch.setString(SCRATCH.small, `/proc/self/fd/${descriptor}`);
  const byteLength = libc.readlinkat(AT_FDCWD, name, scratch.address + SCRATCH.link, 4096);
  return byteLength <= 0 ? undefined : scratch.bytes.toString("utf8", SCRATCH.link, SCRATCH.link + byteLength);
}
