/** How stores are named on the command line. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type BlockStore, type StoreEvents, Stores, VermilionError } from "../index.js";
import type { Messages } from "./messages.js";

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

/** As withStore, of a store that is there. */
export async function withOldStore<Result>(text: string, use: (store: BlockStore) => Promise<Result>): Promise<Result> {
  const [, , path] = FORM.exec(text) ?? [];
  if (path !== undefined && !existsSync(path)) {
    throw new VermilionError("NOT_FOUND", `${text}: there is no such store; check the path`);
  }
  return withStore(text, use);
}

/** With a store for as long as that takes. USAGE, NOT_FOUND, STORE_FAILED, and what `use` throws. */
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

/** For commands that leave out what cannot be read. */
export function tellDamaged(messages: Messages): NonNullable<StoreEvents["damaged"]> {
  return (epoch, error) => messages.news("notice", `epoch ${epoch} is left out: ${error.message}`, { epoch });
}

async function driverOf(path: string): Promise<BlockStore> {
  if (!existsSync(path)) throw new VermilionError("NOT_FOUND", `${path}: there is no such module; check the path`);
  let driver: unknown;
  try {
    ({ default: driver } = (await import(pathToFileURL(resolve(path)).href)) as { readonly default?: unknown });
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new VermilionError("STORE_FAILED", `${path}: the driver cannot be loaded: ${text}`, { cause });
  }
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
