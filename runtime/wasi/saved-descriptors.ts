/**
 * The saved state of the descriptors that a guest opens all the time, made and written without detours: a program that opens
 * a file for each of its transactions waits for it with a log.
 *
 * Each object is one literal: to the engine one that was spread is of a new kind each time.
 */
import { constants } from "node:fs";
import type { Descriptor, Identity } from "./descriptors.js";
import type { FileFacts } from "./stat.js";
import type { Place, SavedDescriptor } from "./state.js";

/** A directory of the guest's. `listing`: what is left of one that has begun, in base64. */
export function directoryAt(
  number: number,
  { rights, inheriting, fdflags }: Descriptor,
  place: Place | undefined,
  listing: string | undefined,
): SavedDescriptor {
  return { number, rights, inheriting, fdflags, kind: "directory", place, listing };
}

/** What is no directory. `offset` -1: it has no position. `identity`: what it was before its content was moved. */
export function fileAt(
  number: number,
  descriptor: Descriptor,
  place: Place,
  facts: FileFacts,
  offset: number | bigint,
  identity: Identity | undefined,
): SavedDescriptor {
  return {
    number,
    rights: descriptor.rights,
    inheriting: descriptor.inheriting,
    fdflags: descriptor.fdflags,
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
      !isRegular(facts) || "kept" in place
        ? undefined
        : {
            inode: facts.inode.toString(),
            byteLength: facts.byteLength.toString(),
            modified: facts.modified.toString(),
          },
  };
}

export function isRegular({ mode }: FileFacts): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFREG;
}

/** As JSON.stringify would have it, in a third of the time for one file or directory with a name. */
export function descriptorsText(descriptors: readonly SavedDescriptor[]): string {
  const [only] = descriptors;
  if (descriptors.length !== 1 || only === undefined) return JSON.stringify(descriptors);
  if (only.kind !== "file" && only.kind !== "directory") return JSON.stringify(descriptors);
  const { number, rights, inheriting, fdflags, kind, place } = only;
  if (place === undefined || "kept" in place) return JSON.stringify(descriptors);
  let text = `[{"number":${number},"rights":${rights},"inheriting":${inheriting},"fdflags":${fdflags},"kind":"${kind}"`;
  text += `,"place":{"guest":${quoted(place.guest)},"nth":${place.nth},"path":${quoted(place.path)}}`;
  if (only.kind === "directory") return `${text}${field("listing", only.listing)}}]`;
  const { readable, writable, offset, identity, facts } = only;
  if (identity !== undefined) return JSON.stringify(descriptors);
  text += `,"readable":${readable},"writable":${writable}${field("offset", offset)}`;
  if (facts === undefined) return `${text}}]`;
  const { inode, byteLength, modified } = facts;
  return `${text},"facts":{"inode":"${inode}"${field("byteLength", byteLength)}${field("modified", modified)}}}]`;
}

/** Of digits or base64. */
function field(name: string, value: string | undefined): string {
  return value === undefined ? "" : `,"${name}":"${value}"`;
}

function quoted(text: string): string {
  return /^[\w./ -]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}
