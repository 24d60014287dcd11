/**
 * A store in a directory, laid out as an object store is: one file a block. For tests, for a disk that is mounted from
 * elsewhere, and as the pattern of a driver.
 *
 * D1  A file has its name only when its content is durable, and the name is durable before `put` resolves.
 * D2  What is listed is durable, also the name that a put was cut behind: whoever lists it will not put it again.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { errorName, invariant, systemError, VermilionError } from "../../../pmem/error.js";
import { makeDirectories, syncParents } from "../image/directories.js";
import { type BlockStore, isBlockName, type StoredBlock } from "./block-store.js";

const UNFINISHED = "unfinished";
const FOLDERS = ["blocks", "epochs", UNFINISHED];

export class DirectoryStore implements BlockStore {
  readonly location: string;
  #made: Promise<void> | undefined;

  /** The directory is made with the first block. */
  constructor(path: string) {
    this.location = resolve(path);
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.#pathOf(name);
    const unfinished = join(this.location, UNFINISHED, randomBytes(16).toString("hex"));
    await this.#attempt("write", path, async () => {
      await this.#makeFoldersOnce();
      const file = await open(unfinished, "wx", 0o600);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(unfinished, path); // D1
      await syncFolder(dirname(path));
    });
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const path = this.#pathOf(name);
    return await this.#attempt("read", path, () => orMissing(readFile(path), undefined));
  }

  async list(prefix: string): Promise<readonly StoredBlock[]> {
    return await this.#attempt("list", this.location, async () => {
      const found: StoredBlock[] = [];
      for (const folder of FOLDERS) {
        const names = await orMissing(readdir(join(this.location, folder)), []);
        if (names.length > 0) await syncFolder(join(this.location, folder)); // D2
        for (const name of names.map((each) => `${folder}/${each}`)) {
          if (!name.startsWith(prefix)) continue;
          const status = await orMissing(stat(join(this.location, name)), undefined);
          if (status?.isFile() === true) found.push({ name, byteLength: status.size });
        }
      }
      return found;
    });
  }

  async remove(name: string): Promise<void> {
    const path = this.#pathOf(name);
    await this.#attempt("remove", path, () => rm(path, { force: true }));
  }

  #pathOf(name: string): string {
    const isOurs = isBlockName(name) || /^unfinished\/[0-9a-f]{32}$/.test(name);
    invariant(isOurs, `${JSON.stringify(name)} is no name of a block`);
    return join(this.location, name);
  }

  /** Tried again by the next block, should it fail: the disk may not be there yet. */
  async #makeFoldersOnce(): Promise<void> {
    this.#made ??= this.#makeFolders().catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    await this.#made;
  }

  async #makeFolders(): Promise<void> {
    const firstCreated = makeDirectories(this.location);
    for (const folder of FOLDERS) await mkdir(join(this.location, folder), { recursive: true, mode: 0o700 });
    await syncFolder(this.location);
    syncParents(this.location, firstCreated); // D1
  }

  async #attempt<Result>(operation: string, path: string, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (cause) {
      throw cause instanceof VermilionError ? cause : systemError(operation, path, cause);
    }
  }
}

async function orMissing<Result, Missing>(action: Promise<Result>, missing: Missing): Promise<Result | Missing> {
  try {
    return await action;
  } catch (error) {
    if (errorName(error) === "ENOENT") return missing;
    throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
