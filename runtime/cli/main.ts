#!/usr/bin/env node
/** The command line. A guest's thread takes longest to start, so it starts first and boots while the options are parsed. */
import "./early-signals.js";
import { setEngineFlags } from "./engine-flags.js";

setEngineFlags();
const { Process } = await import("../index.js");
const command = process.argv[2];
const runs = command === "run" || command === "resume" || command === "call";
if (runs && !process.argv.includes("--supervise")) Process.prepareThread(); // a supervisor runs no guest
const { runCommandLine } = await import("./command-line.js");
await Process.exit(await runCommandLine(process.argv));
