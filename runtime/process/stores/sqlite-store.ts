/**
 * A store in one file: an SQLite database. Puts that wait at the same time are one transaction, so that they share its flushes.
 */
import { resolve } from "node:path";
import type { Database } from "node-sqlite3-wasm";
import { VermilionError } from "../../../pmem/error.js";
import { type BlockStore, isBlockName, type StoredBlock } from "./block-store.js";
import { storeError } from "./store-error.js";

interface WaitingPut {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class SqliteStore implements BlockStore {
  readonly location: string;
  readonly #database: Database;
  #waiting: WaitingPut[] = [];

  private constructor(location: string, database: Database) {
    this.location = location;
    this.#database = database;
  }

  /** The file is made if there is none. STORE_FAILED: it is no database, or somebody writes to it. */
  static async open(path: string): Promise<SqliteStore> {
    const location = resolve(path);
    const { default: sqlite } = await import("node-sqlite3-wasm");
    try {
      const database = new sqlite.Database(location);
      try {
        database.exec("PRAGMA synchronous = FULL");
        database.exec("CREATE TABLE IF NOT EXISTS blocks (name TEXT PRIMARY KEY, bytes BLOB NOT NULL)");
        return new SqliteStore(location, database);
      } catch (error) {
        database.close();
        throw error;
      }
    } catch (cause) {
      const reason = `cannot open it as an SQLite database: ${cause instanceof Error ? cause.message : String(cause)}`;
      const next = "see that nobody else uses it, or name another file";
      throw new VermilionError("STORE_FAILED", `${location}: ${reason}; ${next}`, { cause });
    }
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ name, bytes, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => this.#commit());
    });
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const bytes = this.#ask(() => this.#database.get("SELECT bytes FROM blocks WHERE name = ?", name))?.["bytes"];
    return bytes instanceof Uint8Array ? bytes : undefined;
  }

  async list(prefix: string): Promise<readonly StoredBlock[]> {
    const rows = this.#ask(() => this.#database.all("SELECT name, length(bytes) AS byteLength FROM blocks"));
    return rows.flatMap(({ name, byteLength }) => {
      if (typeof name !== "string" || !isBlockName(name) || !name.startsWith(prefix)) return [];
      return [{ name, byteLength: Number(byteLength) }];
    });
  }

  async remove(name: string): Promise<void> {
    this.#ask(() => this.#database.run("DELETE FROM blocks WHERE name = ?", name));
  }

  /** The file may be used by others then. */
  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  #commit(): void {
    const puts = this.#waiting;
    this.#waiting = [];
    try {
      this.#ask(() => {
        this.#database.exec("BEGIN IMMEDIATE");
        try {
          for (const { name, bytes } of puts) {
            this.#database.run("INSERT OR REPLACE INTO blocks (name, bytes) VALUES (?, ?)", [name, bytes]);
          }
          this.#database.exec("COMMIT");
        } catch (error) {
          if (this.#database.inTransaction) this.#database.exec("ROLLBACK");
          throw error;
        }
      });
      for (const each of puts) each.resolve();
    } catch (error) {
      for (const each of puts) each.reject(error);
    }
  }

  #ask<Result>(action: () => Result): Result {
    try {
      return action();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw storeError("STORE_FAILED", this, reason, "see that the disk has room and nobody else uses it", cause);
    }
  }
}
