import { Fdflags, Filetype, Rights } from "./abi.js";
import { type DescriptorKind, Transport } from "./descriptors.js";
import type { WasiHost } from "./host.js";
import { positionOf } from "./position.js";
import { parseState } from "./state.js";

/** A descriptor as people want to see it. */
export interface DescriptorSummary {
  readonly number: number;
  readonly kind: DescriptorKind;
  /** As the guest names it. */
  readonly path: string;
  readonly offset: bigint | undefined;
  /** "append", "nonblock", "sync" ... */
  readonly flags: readonly string[];
  readonly access: "read" | "write" | "read-write" | "none";
}

/** Of a running process. */
export function summarize(host: WasiHost): DescriptorSummary[] {
  const summaries: DescriptorSummary[] = [];
  for (const [number, descriptor] of host.table.all()) {
    const seekable = descriptor.transport === Transport.FILE && descriptor.filetype === Filetype.REGULAR_FILE;
    const offset = seekable ? BigInt(positionOf(host, descriptor)) : undefined;
    const { kind, path, fdflags, rights } = descriptor;
    summaries.push({ number, kind, path, offset, flags: flagNames(fdflags), access: accessOf(kind, rights) });
  }
  return summaries;
}

/** Of a saved one. IMAGE_DAMAGED: the state is not one. */
export function describeState(state: unknown): DescriptorSummary[] {
  return parseState(state).descriptors.map((saved) => {
    const { number, kind, fdflags, rights } = saved;
    let path = `<${kind}>`;
    if (kind === "stdio") path = ["<stdin>", "<stdout>", "<stderr>"][saved.stream]!;
    else if (kind === "preopen") path = saved.guest;
    else if (kind === "listener") path = saved.address;
    else if (kind === "lost") path = saved.path;
    else if ("place" in saved && saved.place !== undefined) {
      const { place } = saved;
      path = "kept" in place ? `<unlinked> ${place.kept}` : `${place.guest}/${place.path}`.replace(/^\/\//, "/");
    } else if (kind === "directory") path = "<removed>";
    const offset = "offset" in saved && saved.offset !== undefined ? BigInt(saved.offset) : undefined;
    return { number, kind, path, offset, flags: flagNames(fdflags), access: accessOf(kind, rights) };
  });
}

function flagNames(fdflags: number): string[] {
  return Object.entries(Fdflags)
    .filter(([, bit]) => (fdflags & bit) !== 0)
    .map(([name]) => name.toLowerCase());
}

function accessOf(kind: DescriptorKind, rights: number): DescriptorSummary["access"] {
  if (kind === "preopen" || kind === "directory" || kind === "listener" || kind === "lost") return "none";
  const read = (rights & Rights.FD_READ) !== 0;
  if ((rights & Rights.FD_WRITE) === 0) return read ? "read" : "none";
  return read ? "read-write" : "write";
}
