import { constants } from "node:fs";
import type { WasiHost } from "./host.js";
import { byteLengthInScratch, deviceInScratch, inodeInScratch, linksInScratch, modeInScratch } from "./stat.js";

/** What has a name in a directory. */
export interface Entry {
  readonly device: string;
  readonly inode: string;
  readonly links: number;
  readonly directory: boolean;
  readonly byteLength: number;
}

/** That of which the scratch memory holds the stat. */
export function entryInScratch(host: WasiHost): Entry {
  return {
    device: deviceInScratch(host),
    inode: inodeInScratch(host),
    links: linksInScratch(host),
    directory: (modeInScratch(host) & constants.S_IFMT) === constants.S_IFDIR,
    byteLength: Number(byteLengthInScratch(host)),
  };
}
