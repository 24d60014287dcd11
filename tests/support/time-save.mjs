/**
 * The command line with a stopwatch in it, whose hands are the calls that the guest's thread makes into Node:
 *
 *   node time-save.mjs RESULT COMMAND ARGS...
 *
 * What runs is what users run: the bundles, the code that earlier runs have kept, both threads. After each flush of a
 * header it writes to RESULT, all in nanoseconds of the monotonic clock that all processes share:
 *
 *   opening    the image is touched for the first time  seen       the guest's thread has lowered the flag of its polls
 *   unwound    frames, globals and tables are taken     described  open files are flushed and described
 *   written    linear memory is written                 flipping   the state file is written
 *   saved      memory, state file and the header's slot are durable
 *
 * and `flushing`, how long of all that from `unwound` on the disk was waited for. Of what there is none it says nothing.
 */
import fs from "node:fs";
import { createRequire } from "node:module";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import threads from "node:worker_threads";

const require = createRequire(import.meta.url);
const clock = process.hrtime;
/** Numbers, not bigints: nothing may be slow here. */
const now = () => {
  const [seconds, nanoseconds] = clock();
  return seconds * 1e9 + nanoseconds;
};

if (threads.isMainThread) watchMainThread();
else watchGuest();

function watchMainThread() {
  const main = process.env.VERMILION_MAIN ?? fileURLToPath(new URL("../../dist/runtime/cli/main.cjs", import.meta.url));
  const [, , result, ...command] = process.argv;
  process.argv.splice(1, process.argv.length, main, ...command);
  threads.Worker = class extends threads.Worker {
    constructor(entry, options) {
      const workerData = { ...options.workerData, watched: { entry: fileURLToPath(entry), result } };
      super(new URL(import.meta.url), { ...options, workerData });
    }
  };
  require(main);
}

function watchGuest() {
  const { entry, result } = threads.workerData.watched;
  /** What open descriptors are. */
  const names = new Map();
  /** The last calls: what was called, of which file, and from when to when. */
  const calls = [];
  let opening;

  function watch(object, name, fileOf = () => undefined) {
    const call = object[name];
    object[name] = (...args) => {
      const from = now();
      const returned = call.apply(object, args);
      calls.push({ name, file: fileOf(args, returned), from, to: now() });
      if (calls.length > 2000) calls.splice(0, 1000);
      return returned;
    };
  }

  const ofDescriptor = ([descriptor]) => names.get(descriptor);
  watch(fs, "openSync", ([path], descriptor) => {
    const name = basename(String(path));
    names.set(descriptor, name);
    if (name === "header") opening ??= now();
    return name;
  });
  watch(fs, "writeSync");
  watch(fs, "writevSync", ofDescriptor);
  watch(fs, "fstatSync", ofDescriptor);
  watch(fs, "fsyncSync", ofDescriptor);
  watch(performance, "now");
  watch(fs, "fdatasyncSync", ofDescriptor);
  const flush = fs.fdatasyncSync;
  fs.fdatasyncSync = (descriptor) => {
    flush(descriptor);
    if (names.get(descriptor) === "header") fs.writeFileSync(result, JSON.stringify({ opening, ...steps(calls) }));
  };
  require(entry);
}

/** Of the save whose last call is the last of these; of a header that is written for another reason it makes no sense. */
function steps(calls) {
  const lastOf = (list, is) => list.findLast(is);
  const unwound = lastOf(calls, ({ name }) => name === "now")?.from; // a save begins by looking at the clock
  const saving = calls.filter(({ from }) => from > unwound);
  const flushes = saving.filter(({ name }) => name === "fdatasyncSync" || name === "fsyncSync");
  const writeOf = (prefix) => lastOf(saving, ({ name, file }) => name === "writevSync" && file?.startsWith(prefix))?.to;
  return {
    unwound,
    seen: lastOf(calls, ({ name, from }) => name === "writeSync" && from < unwound)?.from,
    described: saving.find(({ name }) => name === "fstatSync")?.from,
    written: writeOf("pages-"),
    flipping: writeOf("state-"),
    saved: calls.at(-1).to,
    flushing: flushes.reduce((sum, { from, to }) => sum + to - from, 0),
  };
}
