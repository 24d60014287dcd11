#!/usr/bin/env node
/** The command line. A guest's thread takes longest to start, so it starts first and boots while the options are parsed. */
import "./early-signals.js";
import { setEngineFlags } from "./engine-flags.js";

setEngineFlags();
const { Process } = await import("../index.js");
const command = process.argv[2];
if (command === "run" || command === "resume" || command === "call") Process.prepareThread();
const { runCommandLine } = await import("./command-line.js");
await Process.exit(await runCommandLine(process.argv));
