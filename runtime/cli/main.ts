#!/usr/bin/env node
/**
 * The command line. A guest's thread takes longest to start, so it starts first and boots while the rest is loaded and the
 * options are parsed: what is imported here is what that needs. No await at the top, for it is bundled as CommonJS.
 */
import { setFlagsFromString } from "node:v8";
import "./early-signals.js";
import { Process } from "../index.js";
import { ENGINE_FLAGS } from "./engine-flags.js";

const command = process.argv[2];
const runs = command === "run" || command === "resume" || command === "call";
if (runs && !process.argv.includes("--supervise")) {
  Process.prepareThread({ engineFlags: ENGINE_FLAGS, purpose: command }); // a supervisor runs no guest
} else if (command === "explore" || command === "replay") {
  ENGINE_FLAGS.forEach(setFlagsFromString);
}
import("./command-line.js")
  .then(({ runCommandLine }) => runCommandLine(process.argv))
  .then((status) => Process.exit(status));
