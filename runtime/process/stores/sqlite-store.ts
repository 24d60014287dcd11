/**
 * A store in one file: an SQLite database. Puts that wait at the same time are one transaction, so that they share its flushes.
 *
 * Q1  Whoever asks the database anything holds flock(2) on its file. The library's own lock is a directory beside the file, which
 *     the death of its holder leaves there: under ours it is nobody's, and goes.
 * Q2  The database is opened for each question. Its journal is a write-ahead log, which is looked at when it is opened. The other kind
 *     the library never rolls back after a crash, because it takes its own lock for a writer's that lives; and it never flushes the
 *     directory that has the journal's name, which we do before anything that the journal protects is written.
 */
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Database, default as Library } from "node-sqlite3-wasm";
import { attempt } from "../../../pmem/error.js";
import { LOCK, libc } from "../../../pmem/libc.js";
import { flushDirectory } from "../image/directories.js";
import { flock } from "../image/lock.js";
import { type BlockStore, isBlockName, type StoredBlock } from "./block-store.js";
import { storeError } from "./store-error.js";

const LONGEST_WAIT_MILLISECONDS = 10_000;
const RETRY_MILLISECONDS = 5;

/** In this order: a write-ahead log without memory that several share needs a lock for as long as it is open. */
const PRAGMAS = ["locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"];

interface WaitingPut {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class SqliteStore implements BlockStore {
  readonly location: string;
  readonly #descriptor: number;
  readonly #library: typeof Library;
  #closed = false;
  #waiting: WaitingPut[] = [];

  private constructor(location: string, library: typeof Library) {
    this.location = location;
    this.#library = library;
    const { O_RDWR, O_CREAT } = constants;
    this.#descriptor = attempt("open", location, () => openSync(location, O_RDWR | O_CREAT, 0o600));
  }

  /** The file is made if there is none. STORE_FAILED: it is no database; NOT_FOUND and other codes of the disk. */
  static async open(path: string): Promise<SqliteStore> {
    const { default: sqlite } = await import("node-sqlite3-wasm");
    const store = new SqliteStore(resolve(path), sqlite);
    try {
      await store.#transact((database) => {
        database.exec("CREATE TABLE IF NOT EXISTS blocks (name TEXT PRIMARY KEY, bytes BLOB NOT NULL)");
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
    await this.#transact((database) => database.run("DELETE FROM blocks WHERE name = ?", name));
  }

  close(): void {
    if (this.#closed) return; // by now the number may be somebody else's
    this.#closed = true;
    closeSync(this.#descriptor);
  }

  async #commit(): Promise<void> {
    const puts: WaitingPut[] = [];
    try {
      await this.#transact((database) => {
        puts.push(...this.#waiting.splice(0)); // also those that have come while we waited for the lock
        for (const { name, bytes } of puts) {
          database.run("INSERT OR REPLACE INTO blocks (name, bytes) VALUES (?, ?)", [name, bytes]);
        }
      });
      for (const each of puts) each.resolve();
    } catch (error) {
      for (const each of [...puts, ...this.#waiting.splice(0)]) each.reject(error);
    }
  }

  async #transact(change: (database: Database) => unknown): Promise<void> {
    await this.#ask((database) => {
      database.exec("BEGIN IMMEDIATE");
      change(database);
      database.exec("COMMIT"); // the log is flushed
      flushDirectory(dirname(this.location)); // Q2: closing copies the log to the database
    });
  }

  #ask<Result>(question: (database: Database) => Result): Promise<Result> {
    return this.#locked(() => {
      if (this.#closed) throw new Error("the store is closed");
      const database = new this.#library.Database(this.location);
      try {
        for (const pragma of PRAGMAS) database.exec(`PRAGMA ${pragma}`);
        return question(database);
      } finally {
        database.close(); // rolls back what was not committed
      }
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
