/** The worker's entry for a program that keeps compiled code: runs worker.ts, from the bundle beside this one. */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { workerData } from "node:worker_threads";
import { CachedBundle, codeCachePath } from "./code-cache.js";
import type { WorkerData } from "./worker-data.js";

const given = workerData as WorkerData & { readonly purpose: string };
const path = fileURLToPath(new URL("./worker.cjs", import.meta.url));
const bundle = new CachedBundle(path, codeCachePath(given.purpose, given.execArgv));
if (bundle.isNew) given.keepCode = () => bundle.keep();
const module = { exports: {} };
bundle.run(module.exports, createRequire(path), module, path, dirname(path));
