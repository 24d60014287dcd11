/** The drivers that come with Vermilion; any object with the four operations of BlockStore is another. */
import type { BlockStore } from "./process/stores/block-store.js";

/** One that holds a file open. */
export interface FileStore extends BlockStore {
  close(): void;
}

export const Stores = {
  /** One file a block, as an object store has one object a block. Made with the first block. */
  async directory(path: string): Promise<BlockStore> {
    const { DirectoryStore } = await import("./process/stores/directory-store.js");
    return new DirectoryStore(path);
  },

  /** One SQLite database. Codes: STORE_FAILED. */
  async sqlite(path: string): Promise<FileStore> {
    const { SqliteStore } = await import("./process/stores/sqlite-store.js");
    return SqliteStore.open(path);
  },
};
