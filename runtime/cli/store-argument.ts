/** How stores are named on the command line. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type BlockStore, Stores, VermilionError } from "../index.js";

export const STORE_FORM =
  "dir:PATH (a directory of blocks), sqlite:FILE, or module:FILE (a JavaScript module whose default export is a driver)";

const FORM = /^(dir|sqlite|module):(.+)$/s;

export function isStore(text: string): boolean {
  return FORM.test(text) && !existsSync(text);
}

/** STORE@EPOCH, as with images. */
export function storeAndEpoch(text: string): { readonly store: string; readonly epoch: number | undefined } {
  const [, store = "", digits] = /^(.+)@(\d{1,15})$/s.exec(text) ?? [];
  return digits === undefined ? { store: text, epoch: undefined } : { store, epoch: Number(digits) };
}

/** With a store for as long as that takes. USAGE, NOT_FOUND, and what `use` throws. */
export async function withStore<Result>(text: string, use: (store: BlockStore) => Promise<Result>): Promise<Result> {
  const [, kind, path] = FORM.exec(text) ?? [];
  if (kind === undefined || path === undefined) throw new VermilionError("USAGE", `${text}: a store is ${STORE_FORM}`);
  if (kind === "dir") return use(await Stores.directory(path));
  if (kind === "module") return use(await driverOf(path));
  const store = await Stores.sqlite(path);
  try {
    return await use(store);
  } finally {
    store.close();
  }
}

async function driverOf(path: string): Promise<BlockStore> {
  if (!existsSync(path)) throw new VermilionError("NOT_FOUND", `${path}: there is no such module; check the path`);
  const { default: driver } = (await import(pathToFileURL(resolve(path)).href)) as { readonly default?: unknown };
  if (isDriver(driver)) return driver;
  throw new VermilionError(
    "USAGE",
    `${path}: its default export is no driver: it needs location, put, get, list and remove (BlockStore)`,
  );
}

function isDriver(value: unknown): value is BlockStore {
  const { location, put, get, list, remove } = (value ?? {}) as Partial<Record<keyof BlockStore, unknown>>;
  return typeof location === "string" && [put, get, list, remove].every((each) => typeof each === "function");
}
