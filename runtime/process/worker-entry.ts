/** The worker's entry: runs worker.ts, from the bundle beside this one. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { workerData } from "node:worker_threads";
import { CachedBundle, codeCachePath } from "./code-cache.js";
import type { WorkerData } from "./worker-data.js";

const given = workerData as WorkerData;
const { purpose, execArgv } = given;
const path = fileURLToPath(new URL("./worker.cjs", import.meta.url));
const bundle = new CachedBundle(path, purpose === undefined ? undefined : codeCachePath(purpose, execArgv));
given.keepCode = (end) => bundle.keep(end);
const module = { exports: {} };
bundle.run(module, createRequire(path));
