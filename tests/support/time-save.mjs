/**
 * Runs a guest in an image until SIGPWR has saved it, and says when each step was over:
 *
 *   node time-save.mjs --image DIR --result FILE [--library DIR] [--module FILE ARGS...]
 *
 * With --module the image is created, otherwise resumed. As `vermilion` does it, a worker runs the guest and the main
 * thread handles the signal; the difference is that here every step is watched. Writes to --result, all in nanoseconds
 * of the monotonic clock that all processes share:
 *
 *   opening    the worker begins to open the image      signalled  the main thread's handler has been called
 *   seen       the guest's thread sees the request      unwound    frames, globals and tables are taken
 *   described  open files are flushed and described     flushed    linear memory is durable
 *   flipping   the state file is durable                saved      the header's slot is durable
 *
 * and `flushing`, how long of all that the disk was waited for, and `frames`.
 */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const now = () => Number(process.hrtime.bigint());
const { values, positionals } = parseArgs({
  args: isMainThread ? process.argv.slice(2) : workerData.args,
  allowPositionals: true,
  options: {
    image: { type: "string" },
    result: { type: "string" },
    module: { type: "string" },
    library: { type: "string", default: new URL("../../dist/", import.meta.url).pathname },
  },
});
const load = (path) => import(join(values.library, "runtime", path));
const { ControlBlock } = await load("process/control-block.js");

if (isMainThread) {
  const control = ControlBlock.create();
  let signalled;
  process.on("SIGPWR", () => {
    signalled ??= now();
    control.requestFailure();
  });
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { args: process.argv.slice(2), control: control.buffer },
    resourceLimits: { stackSizeMb: 256 },
  });
  worker.on("error", (error) => {
    console.error(error);
    process.exit(70);
  });
  worker.on("message", (result) => {
    writeFileSync(values.result, JSON.stringify({ ...result, signalled }));
    process.exit(85); // as the command line does
  });
} else {
  const [{ Guest }, { HostFunctions }, { Machine }, { Wasi }, { ImageDirectory }] = await Promise.all(
    ["guest", "host-functions", "machine", "../wasi/index", "image/image-directory"].map((name) =>
      load(`process/${name}.js`),
    ),
  );
  const at = {};
  let flushing = 0;

  /** Calls `after` with the duration of every call of a method. */
  function watch(prototype, name, after) {
    const method = prototype[name];
    prototype[name] = function (...args) {
      const startedAt = now();
      const result = method.apply(this, args);
      after(now() - startedAt, result, args);
      return result;
    };
  }

  for (const name of ["start", "resume"]) {
    watch(Machine.prototype, name, (_, outcome) => {
      at.unwound = now();
      at.frames = outcome.frames;
      flushing = 0; // what was waited for before is not the save's
    });
  }
  watch(Wasi.prototype, "save", () => {
    at.described = now();
  });
  watch(ImageDirectory.prototype, "syncDirectory", (duration) => {
    flushing += duration;
  });
  for (const name of ["create", "open"]) {
    watch(ImageDirectory.prototype, name, (_, file, [fileName]) => {
      watch(file, "sync", (duration) => {
        flushing += duration;
        if (fileName === "header") at.saved = now();
        else if (fileName.startsWith("pages-")) at.flushed = now();
        else at.flipping = now();
      });
    });
  }

  const control = ControlBlock.over(workerData.control);
  Object.defineProperty(control, "failurePending", {
    get() {
      const pending = Reflect.get(ControlBlock.prototype, "failurePending", this);
      if (pending) at.seen ??= now();
      return pending;
    },
  });
  const surroundings = {
    ...{ image: values.image, stdio: [0, 1, 2], onChangedFile: "fail", exact: false, persistOn: [] },
    cacheDirectory: join(dirname(values.image), "cache"),
  };
  const command = {
    ...{ module: values.module, args: ["guest", ...positionals], env: [], preopens: [], invoke: null },
    ...{ listen: [], instance: false, maxMemoryByteLength: null, maximumDescriptors: null },
  };
  at.opening = now();
  const guest = new Guest(
    values.module === undefined
      ? { kind: "open", preopens: undefined, ...surroundings }
      : { kind: "create", command, moduleBytes: undefined, ifUnfinished: "fail", inPlace: false, ...surroundings },
    control,
    () => {},
    new HostFunctions(),
  );
  const outcome = guest.run({ call: undefined, plan: {}, eintr: false, persistEvery: {} }, () => {});
  if (outcome.kind !== "powerFailed") throw new Error(JSON.stringify(outcome));
  at.flushed ??= at.described; // no page had changed
  parentPort.postMessage({ ...at, flushing });
}
