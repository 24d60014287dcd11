/**
 * The directories of one run of a guest that loses its page cache: real files in a folder of the run's own, watched from call
 * to call, with a model of what the disk has of them.
 */
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, posix } from "node:path";
import { attempt, VermilionError } from "../../pmem/error.js";
import { contentOf, type FileEntry, FileModel, type FileTree } from "../../pmem/file-model.js";
import type { Preopen } from "../process/command.js";

/** Calls after which files or directories may differ. */
const CHANGING =
  /^(fd_(allocate|filestat_set_size|pwrite|write)|path_(create_directory|link|open|remove_directory|rename|symlink|unlink_file))$/;

/** What a descriptor stands for: a file's identity, or a directory's path. */
type Opened = { readonly id: string } | { readonly directory: string };

export class GuestFiles {
  readonly model: FileModel;
  /** As the guest gets them. */
  readonly preopens: readonly Preopen[];
  readonly #folder: string;
  readonly #opened = new Map<number, Opened>();

  /** `guests`: the names of the directories. The folder is made, filled with the tree, and removed by `close`. */
  constructor(folder: string, guests: readonly string[], tree: FileTree) {
    this.#folder = folder;
    this.preopens = guests.map((guest, index) => ({ host: join(folder, `${index}`), guest }));
    for (const { host } of this.preopens) mkdirSync(host, { recursive: true });
    this.#fill(tree);
    this.model = new FileModel(readTree(this.preopens));
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #fill({ entries, contents }: FileTree): void {
    const placed = new Map<string, string>();
    for (const [path, entry] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const host = this.#hostPath(path);
      if (host === undefined) continue;
      if (entry.kind === "directory") mkdirSync(host);
      else {
        const other = placed.get(entry.id);
        if (other !== undefined) linkSync(other, host);
        else writeFileSync(host, contentOf({ entries, contents }, entry.id));
        placed.set(entry.id, host);
      }
    }
  }

  #hostPath(path: string): string | undefined {
    for (const { host, guest } of this.preopens) {
      const rest = posix.relative(posix.normalize(guest), path);
      if (rest !== "" && !rest.startsWith("..")) return join(host, rest);
    }
    return undefined;
  }

  /** Behind a call that has succeeded. Whether it changed anything that a failure may take. */
  called(name: string): boolean {
    return CHANGING.test(name) && this.model.observe(readTree(this.preopens));
  }

  /** A descriptor stands for what a path, as the guest names it, leads to at the moment. */
  open(descriptor: number, path: string): void {
    const normal = posix.normalize(path);
    const entry = this.model.entryAt(normal);
    if (entry?.kind === "file") this.#opened.set(descriptor, { id: entry.id });
    else this.#opened.set(descriptor, { directory: normal });
  }

  renumber(from: number, to: number): void {
    const opened = this.#opened.get(from);
    if (opened === undefined) this.#opened.delete(to);
    else this.#opened.set(to, opened);
    this.#opened.delete(from);
  }

  /** The descriptor was flushed. */
  sync(descriptor: number): void {
    const opened = this.#opened.get(descriptor);
    if (opened === undefined) return;
    if ("id" in opened) this.model.syncFile(opened.id);
    else this.model.syncDirectory(opened.directory);
  }
}

/** What lies in some directories. FILES_UNSUPPORTED: neither a file nor a directory is there. */
export function readTree(preopens: readonly Preopen[]): FileTree {
  const entries = new Map<string, FileEntry>();
  const contents = new Map<string, Uint8Array>();
  const read = (host: string, guest: string): void => {
    for (const found of attempt("read the guest's directory", host, () => readdirSync(host, { withFileTypes: true }))) {
      const [from, path] = [join(host, found.name), posix.join(guest, found.name)];
      if (found.isDirectory()) {
        entries.set(path, { kind: "directory" });
        read(from, path);
      } else if (found.isFile()) {
        // A number may be given again to a file that is made later.
        const { dev, ino, birthtimeNs } = statSync(from, { bigint: true });
        const id = `${dev}:${ino}:${birthtimeNs}`;
        entries.set(path, { kind: "file", id });
        if (!contents.has(id)) contents.set(id, readFileSync(from));
      } else {
        throw new VermilionError(
          "FILES_UNSUPPORTED",
          `${from}: neither a file nor a directory, which simulated failures know nothing of; leave it out of the directory`,
        );
      }
    }
  };
  for (const { host, guest } of preopens) read(host, posix.normalize(guest));
  return { entries, contents };
}
