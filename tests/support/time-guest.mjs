/**
 * Runs a guest once and measures it from the inside; the benchmarks start one such process a run:
 *
 *   node time-guest.mjs --variant VARIANT --module FILE --name NAME --scratch DIR [--library DIR] [--optimized yes]
 *                        [--dir HOST::GUEST]... ARGS...
 *
 * VARIANT  plain       the module as it is, in a memory of the engine's own
 *          mapped      the same, in a memory that is a mapped file, as an image's is
 *          asyncify    with the polls and unwinding that benchmarks/overhead/asyncify.ts added
 *          vermilion   instrumented, in an image below --scratch: what `vermilion run` does in its worker
 *
 * --optimized: the engine was started without its baseline tier (node --no-liftoff --no-wasm-lazy-compilation), so there is
 * nothing to replace on the stack, and Vermilion does not stop for it.
 *
 * All on our system interface, and in a worker with the stack of Vermilion's. The time is that of the call of _start:
 * compiling, instrumenting, opening and the last header of the image are not in it. Writes result.json to --scratch:
 * { status, wall, cpu }, times in milliseconds; cpu is that of the guest's thread alone, so the engine's compiling
 * threads are not in it, nor is waiting for a processor or a disk.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { isMainThread, MessageChannel, parentPort, Worker, workerData } from "node:worker_threads";

const PAGE = 65_536;
const DIST = new URL("../../dist/", import.meta.url).pathname;

if (isMainThread) {
  // As the main thread of a process does it.
  const at = process.argv.indexOf("--library");
  const library = at < 0 ? DIST : process.argv[at + 1];
  const [{ ControlBlock }, { PollReminder }, { serveCompiler }] = await Promise.all(
    ["control-block", "poll-reminder", "optimizing-compiler"].map(
      (name) => import(join(library, `runtime/process/${name}.js`)),
    ),
  );
  const control = ControlBlock.create();
  const { port1, port2 } = new MessageChannel();
  serveCompiler(port1, control);
  const reminder = new PollReminder(() => control.raiseFlag());
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { arguments: process.argv.slice(2), control: control.buffer, compiler: port2 },
    transferList: [port2],
    resourceLimits: { stackSizeMb: 256 },
  });
  worker.on("message", () => reminder.begin());
  worker.on("error", (error) => {
    console.error(error);
    process.exit(70);
  });
} else {
  const { values, positionals } = parseArgs({
    args: separated(workerData.arguments),
    allowPositionals: true,
    options: {
      variant: { type: "string" },
      module: { type: "string" },
      name: { type: "string" },
      scratch: { type: "string" },
      library: { type: "string", default: DIST },
      optimized: { type: "string" },
      dir: { type: "string", multiple: true, default: [] },
    },
  });
  const load = (path) => import(join(values.library, path));
  const command = {
    module: values.module,
    args: [values.name, ...positionals],
    env: [],
    preopens: values.dir.map((text) => ({ host: text.split("::")[0], guest: text.split("::")[1] })),
    invoke: null,
    maxMemoryByteLength: null,
    maximumDescriptors: null,
    listen: [],
    instance: false,
  };
  const result = values.variant === "vermilion" ? await instrumented() : await uninstrumented();
  writeFileSync(join(values.scratch, "result.json"), JSON.stringify(result));

  async function instrumented() {
    const { ENGINE_FLAGS, optimizesFromScratch, registerFlags } = await load("runtime/process/engine-flags.js");
    ENGINE_FLAGS.forEach(setFlagsFromString);
    const [{ Guest }, { Machine }, { ControlBlock }, { HostFunctions }, { RemoteCompiler }] = await Promise.all(
      ["guest", "machine", "control-block", "host-functions", "optimizing-compiler"].map((name) =>
        load(`runtime/process/${name}.js`),
      ),
    );
    if (values.optimized !== undefined) {
      const { ReplacementSchedule } = await load("runtime/process/on-stack-replacement.js");
      ReplacementSchedule.prototype.isDue = () => false;
    }
    let times;
    const start = Machine.prototype.start;
    Machine.prototype.start = function (...args) {
      const elapsed = stopwatch();
      const outcome = start.apply(this, args);
      times = elapsed();
      return outcome;
    };
    const order = {
      ...{ kind: "create", command, moduleBytes: undefined, image: join(values.scratch, "image") },
      ...{ ifUnfinished: "fail", stdio: [0, 1, 2], onChangedFile: "fail", exact: false, persistOn: [] },
      cacheDirectory: undefined,
    };
    const control = ControlBlock.over(workerData.control);
    const compiler = new RemoteCompiler(workerData.compiler, control, optimizesFromScratch(ENGINE_FLAGS));
    const guest = new Guest(order, {
      ...{ control, compiler, hostFunctions: new HostFunctions() },
      tell: () => {},
      compiling: () => {},
    });
    compiler.setFlags(registerFlags(guest));
    const outcome = guest.run({ call: undefined, plan: {}, eintr: false, wishes: {} }, () =>
      parentPort.postMessage(null),
    );
    if (outcome.kind !== "exited") throw new Error(JSON.stringify(outcome));
    return { status: outcome.status, ...times };
  }

  async function uninstrumented() {
    const { Wasi, ProcessExit } = await load("runtime/wasi/index.js");
    const { libc } = await load("runtime/wasi/libc.js");
    const wasi = Wasi.create({
      ...{ args: command.args, env: [], preopens: command.preopens, stdio: [0, 1, 2] },
      ...{ keepAliveDirectory: values.scratch, onChangedFile: "fail" },
    });
    const control = new Int32Array(new SharedArrayBuffer(4));
    let asyncify;
    const imports = {
      wasi_snapshot_preview1: wasi.functions,
      vermilion: {
        poll: () => {
          asyncify.vermilion_fuel.value = 16_384;
          if (Atomics.load(control, 0) === 1) asyncify.asyncify_start_unwind(0);
        },
      },
    };
    const module = new WebAssembly.Module(readFileSync(values.module));
    const { exports } = new WebAssembly.Instance(module, imports);
    asyncify = exports;
    if (values.variant === "mapped") await map(exports.memory);
    wasi.bind({
      memory: exports.memory,
      memoryAddress: libc().addressOf(exports.memory.buffer),
      failurePending: () => Atomics.load(control, 0) === 1,
      wakeDescriptor: -1,
    });
    let status = 0;
    const elapsed = stopwatch();
    try {
      exports._start();
    } catch (error) {
      if (!(error instanceof ProcessExit)) throw error;
      status = error.status;
    }
    return { status, ...elapsed() };
  }

  /** The first word of schedstat: nanoseconds that this thread has had of a processor. */
  function stopwatch() {
    const cpu = () => Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[0]) / 1e6;
    const [wallBefore, cpuBefore] = [performance.now(), cpu()];
    return () => ({ wall: performance.now() - wallBefore, cpu: cpu() - cpuBefore });
  }

  /** The file is as long as the memory may get, so that the engine's own growth finds it there. */
  async function map(memory) {
    const { libc, MAP, PROT } = await load("pmem/libc.js");
    const { closeSync, ftruncateSync, openSync } = await import("node:fs");
    const file = openSync(join(values.scratch, "memory"), "wx+");
    ftruncateSync(file, PAGE * PAGE);
    const content = new Uint8Array(memory.buffer).slice();
    const address = libc().addressOf(new Uint8Array(memory.buffer));
    for (const [from, to, access] of [
      [0, content.length, PROT.READ | PROT.WRITE],
      [content.length, PAGE * PAGE, PROT.NONE],
    ]) {
      const errno = libc().mapFixed(address + from, to - from, access, MAP.SHARED, file, from);
      if (errno !== 0) throw new Error(`mmap: errno ${errno}`);
    }
    closeSync(file);
    new Uint8Array(memory.buffer).set(content);
  }
}

/** The guest's own options are not ours: everything after our last option is positional. */
function separated(all) {
  let index = 0;
  while (all[index]?.startsWith("--")) index += 2;
  return [...all.slice(0, index), "--", ...all.slice(index)];
}
