import { createHash } from "node:crypto";
import { constants, cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { attempt } from "../../pmem/error.js";
import type { Preopen } from "../process/command.js";
import { keptFilesDirectory } from "../process/kept-files.js";

/** Path, as the guest names it: what is there. */
export type FileListing = ReadonlyMap<string, string>;

const NO_FILES = {};

/** Copies of a program's directories that one run has for itself, and what is kept of its files without a name. */
export class Sandbox {
  readonly folder: string;
  readonly #originals: readonly Preopen[];
  /** Names the content: sandboxes with the same mark hold the same files. */
  #mark: object;
  #listing: FileListing | undefined;

  constructor(folder: string, originals: readonly Preopen[]) {
    this.folder = folder;
    this.#originals = originals;
    this.#mark = originals.length === 0 ? NO_FILES : {};
    mkdirSync(this.keptFiles, { recursive: true });
    originals.forEach((_, index) => {
      mkdirSync(this.#directory(index), { recursive: true });
    });
  }

  get preopens(): readonly Preopen[] {
    return this.#originals.map(({ guest }, index) => ({ host: this.#directory(index), guest }));
  }

  /** For open files whose names are gone. */
  get keptFiles(): string {
    return keptFilesDirectory(this.folder);
  }

  #directory(index: number): string {
    return join(this.folder, `${index}`);
  }

  /** Copies the originals. */
  fill(): void {
    this.#originals.forEach(({ host }, index) => {
      copyTree(host, this.#directory(index));
    });
    this.changed();
  }

  /** The guest may have changed something. */
  changed(): void {
    if (this.#originals.length === 0) return;
    this.#mark = {};
    this.#listing = undefined;
  }

  isSameAs(other: Sandbox): boolean {
    return this.#mark === other.#mark;
  }

  /** Afterwards it holds the same files as `other`. */
  copyFrom(other: Sandbox): void {
    if (this.isSameAs(other)) return;
    this.#originals.forEach((_, index) => {
      copyTree(other.#directory(index), this.#directory(index));
    });
    copyTree(other.keptFiles, this.keptFiles);
    this.#mark = other.#mark;
    this.#listing = other.#listing;
  }

  /** Compares contents, not times. Equal ones are known to be equal from then on. */
  hasSameFilesAs(other: Sandbox): boolean {
    if (this.isSameAs(other)) return true;
    if (!sameListing(this.listing, other.listing)) return false;
    this.#mark = other.#mark;
    return true;
  }

  get listing(): FileListing {
    if (this.#listing === undefined) {
      const entries = new Map<string, string>();
      this.#originals.forEach(({ guest }, index) => {
        list(this.#directory(index), guest.replace(/\/$/, ""), entries);
      });
      this.#listing = entries;
    }
    return this.#listing;
  }

  /** Regular files, by the guest's path. */
  contents(): ReadonlyMap<string, Uint8Array> {
    const files = new Map<string, Uint8Array>();
    this.#originals.forEach(({ guest }, index) => {
      const directory = this.#directory(index);
      for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const path = join(entry.parentPath, entry.name);
        files.set(`${guest.replace(/\/$/, "")}/${relative(directory, path)}`, new Uint8Array(readFileSync(path)));
      }
    });
    return files;
  }
}

export function sameListing(a: FileListing, b: FileListing): boolean {
  return a.size === b.size && [...a].every(([path, content]) => b.get(path) === content);
}

/** Only what lies in it is replaced: descriptors of the directory itself stay good. */
function copyTree(from: string, to: string): void {
  attempt("copy the guest's directory", from, () => {
    for (const name of readdirSync(to)) rmSync(join(to, name), { recursive: true, force: true });
    for (const name of readdirSync(from)) {
      cpSync(join(from, name), join(to, name), {
        recursive: true,
        preserveTimestamps: true,
        verbatimSymlinks: true,
        mode: constants.COPYFILE_FICLONE,
      });
    }
  });
}

function list(directory: string, guest: string, entries: Map<string, string>): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const status = lstatSync(path);
    if (status.isDirectory()) {
      entries.set(`${guest}/${name}/`, "a directory");
      list(path, `${guest}/${name}`, entries);
    } else if (status.isSymbolicLink()) entries.set(`${guest}/${name}`, `a link to ${readlinkSync(path)}`);
    else if (status.isFile()) entries.set(`${guest}/${name}`, describe(readFileSync(path)));
    else entries.set(`${guest}/${name}`, "neither a file nor a directory");
  }
}

function describe(bytes: Uint8Array): string {
  return `${bytes.byteLength} bytes, sha1 ${createHash("sha1").update(bytes).digest("hex").slice(0, 12)}`;
}
