#!/usr/bin/env node
/**
 * The command line's entry. Node needs longest for a thread, so that is first, and boots while all else is loaded. No await at the
 * top, for it is CommonJS.
 */
import "./early-signals.js";
import { createRequire } from "node:module";
import { earlyThread } from "./early-thread.js";
import type { loadProgram } from "./load-program.js";

const thread = earlyThread(process.argv);
const loader: { readonly loadProgram: typeof loadProgram } = createRequire(import.meta.url)("./load-program.cjs");
loader.loadProgram(thread);
