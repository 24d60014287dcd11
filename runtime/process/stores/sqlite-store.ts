/**
 * A store in one file: an SQLite database. Puts that wait at the same time are one transaction, so that they share its flushes.
 *
 * Q1  Whoever asks the database anything holds flock(2) on its file. The library's own lock is a directory beside the file, which
 *     the death of its holder leaves there: under ours it is nobody's, and goes.
 * Q2  A database is never left in a transaction: between two questions it is unlocked.
 */
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Database } from "node-sqlite3-wasm";
import { attempt } from "../../../pmem/error.js";
import { LOCK, libc } from "../../../pmem/libc.js";
import { flock } from "../image/lock.js";
import { type BlockStore, isBlockName, type StoredBlock } from "./block-store.js";
import { storeError } from "./store-error.js";

const LONGEST_WAIT_MILLISECONDS = 10_000;
const RETRY_MILLISECONDS = 5;

interface WaitingPut {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class SqliteStore implements BlockStore {
  readonly location: string;
  readonly #descriptor: number;
  #opened: Database | undefined;
  #waiting: WaitingPut[] = [];

  private constructor(location: string) {
    this.location = location;
    const { O_RDWR, O_CREAT } = constants;
    this.#descriptor = attempt("open", location, () => openSync(location, O_RDWR | O_CREAT, 0o600));
  }

  /** The file is made if there is none. STORE_FAILED: it is no database; NOT_FOUND and other codes of the disk. */
  static async open(path: string): Promise<SqliteStore> {
    const { default: sqlite } = await import("node-sqlite3-wasm");
    const store = new SqliteStore(resolve(path));
    try {
      await store.#locked(() => {
        store.#opened = new sqlite.Database(store.location);
        store.#opened.exec("PRAGMA synchronous = FULL");
        store.#opened.exec("CREATE TABLE IF NOT EXISTS blocks (name TEXT PRIMARY KEY, bytes BLOB NOT NULL)");
      });
      return store;
    } catch (error) {
      store.close();
      throw error;
    }
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ name, bytes, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => void this.#commit());
    });
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const row = await this.#ask((database) => database.get("SELECT bytes FROM blocks WHERE name = ?", name));
    const bytes = row?.["bytes"];
    return bytes instanceof Uint8Array ? bytes : undefined;
  }

  async list(prefix: string): Promise<readonly StoredBlock[]> {
    const rows = await this.#ask((database) => database.all("SELECT name, length(bytes) AS byteLength FROM blocks"));
    return rows.flatMap(({ name, byteLength }) => {
      if (typeof name !== "string" || !isBlockName(name) || !name.startsWith(prefix)) return [];
      return [{ name, byteLength: Number(byteLength) }];
    });
  }

  async remove(name: string): Promise<void> {
    await this.#ask((database) => database.run("DELETE FROM blocks WHERE name = ?", name));
  }

  close(): void {
    const isOpen = this.#opened?.isOpen === true;
    if (isOpen) this.#opened?.close();
    this.#opened = undefined;
    closeSync(this.#descriptor);
  }

  async #commit(): Promise<void> {
    const puts: WaitingPut[] = [];
    try {
      await this.#ask((database) => {
        puts.push(...this.#waiting.splice(0)); // also those that have come while we waited for the lock
        database.exec("BEGIN IMMEDIATE");
        try {
          for (const { name, bytes } of puts) {
            database.run("INSERT OR REPLACE INTO blocks (name, bytes) VALUES (?, ?)", [name, bytes]);
          }
          database.exec("COMMIT");
        } catch (error) {
          if (database.inTransaction) database.exec("ROLLBACK"); // Q2
          throw error;
        }
      });
      for (const each of puts) each.resolve();
    } catch (error) {
      for (const each of [...puts, ...this.#waiting.splice(0)]) each.reject(error);
    }
  }

  #ask<Result>(question: (database: Database) => Result): Promise<Result> {
    return this.#locked(() => {
      if (this.#opened === undefined) throw new Error("the store is closed");
      return question(this.#opened);
    });
  }

  /** Q1. `action` is one step of this program: nothing else of it comes in between. */
  async #locked<Result>(action: () => Result): Promise<Result> {
    const deadline = performance.now() + LONGEST_WAIT_MILLISECONDS;
    while (!flock(this.#descriptor, LOCK.EXCLUSIVE, this.location)) {
      if (performance.now() > deadline) {
        throw storeError(
          "STORE_FAILED",
          this,
          "another process has locked it for 10 s",
          "wait until it ends, or stop it",
        );
      }
      await sleep(RETRY_MILLISECONDS);
    }
    try {
      rmSync(`${this.location}.lock`, { recursive: true, force: true });
      return action();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const next = "see that it is an SQLite database and its disk has room";
      throw storeError("STORE_FAILED", this, reason, next, cause);
    } finally {
      libc().flock(this.#descriptor, LOCK.UNLOCK);
    }
  }
}
