/** Names of import modules whose functions are ours; all others are the user's. */
export const WASI_MODULES: ReadonlySet<string> = new Set(["wasi_snapshot_preview1", "wasi_unstable"]);
/** What vermilion.h declares. */
export const VERMILION_MODULE = "vermilion";
