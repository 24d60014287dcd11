#!/usr/bin/env node
/** The command line's entry: runs program.ts, from the bundle beside this one. No await at the top, for it is CommonJS. */
import "./early-signals.js";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { CachedBundle, codeCachePath } from "../process/code-cache.js";
import { GUEST_COMMANDS } from "./guest-commands.js";
import type { runProgram } from "./program.js";

const path = fileURLToPath(new URL("./program.cjs", import.meta.url));
/** What code is kept for: commands that run a guest need other functions than the rest. */
const purpose = GUEST_COMMANDS.find((name) => name === process.argv[2]) ?? "other";
const bundle = new CachedBundle(path, codeCachePath(`command-${purpose}`, process.execArgv));
const module: { exports: { runProgram?: typeof runProgram } } = { exports: {} };
bundle.run(module, createRequire(path));
void module.exports.runProgram?.(process.argv, (end) => bundle.keep(end));
