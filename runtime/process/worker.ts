/** The worker's entry: one guest, prepared and run as the main thread says. Everything the guest does blocks this thread. */
import { setFlagsFromString } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { invariant } from "../../pmem/error.js";
import { libc } from "../../pmem/libc.js";
import type { End } from "./code-cache.js";
import { ControlBlock } from "./control-block.js";
import { optimizesFromScratch, registerFlags } from "./engine-flags.js";
import { Guest } from "./guest.js";
import { interruptibly, StackTooShort, StartCancelled } from "./guest-preparation.js";
import { HostFunctions } from "./host-functions.js";
import { rememberHash } from "./image/content-hash.js";
import { useFrameStack } from "./machine-instance.js";
import { RemoteCompiler } from "./optimizing-compiler.js";
import { type CompiledForm, precompile } from "./program.js";
import type { ExitOrder, Order, PrecompileOrder, PrepareOrder, Report } from "./protocol.js";
import { serializeError } from "./serialized-error.js";
import type { WorkerData } from "./worker-data.js";

const port = parentPort;
invariant(port !== null, "the worker's entry runs in a worker");
const given = workerData as WorkerData;
const control = ControlBlock.over(given.control);
const compiler = new RemoteCompiler(given.compiler, control, optimizesFromScratch(given.engineFlags));
let guest: Guest | undefined;
/** How the last run has ended. */
let end: End = "over";

const tell = (report: Report): void => port.postMessage(report);

/** By a guess of the main thread's. */
let compiled: CompiledForm | undefined;

/** What answers an order; between the two, a guest may run for days. */
function carryOut(message: Order, functions: HostFunctions): Report {
  if (message.kind === "prepare") return prepare(message.order, functions);
  if (message.kind === "discard") {
    guest?.discard();
    return { kind: "discarded" };
  }
  invariant(guest !== undefined, "a guest is prepared before it runs");
  if (message.kind === "follow") return { kind: "followed", followed: guest.follow(message.toCall) };
  const outcome = guest.run(message.order, (period) => tell({ kind: "running", period }));
  end = outcome.kind === "powerFailed" ? "saved" : "over";
  return { kind: "ended", outcome };
}

/** A power failure is a signal to the main thread, and this machine may have more to do than it has processors. */
function quickenMainThread(): void {
  if (given.promptMainThread) libc().runPromptly(process.pid); // the main thread has the number of its process
}

/** Behind all that Node loads of its own code (but for a guest with imports), which is compiled ahead for other flags: see ThreadOptions. */
function prepareEngine(): void {
  const { keepFreedMemory } = libc();
  if (given.keepFreedMemory) keepFreedMemory();
  performance.now(); // loads a module when first used
  given.engineFlags.forEach(setFlagsFromString);
}

function precompileForm({ form }: PrecompileOrder): void {
  if (control.over) return; // which the order that follows finds, too
  quickenMainThread();
  prepareEngine();
  try {
    compiled = interruptibly(control, () => precompile(form));
  } catch (error) {
    if (!(error instanceof StartCancelled)) throw error;
  }
}

function prepare(order: PrepareOrder, functions: HostFunctions): Report {
  if (control.over) throw new StartCancelled(); // since a compilation that could be interrupted
  quickenMainThread();
  const form = compiled;
  compiled = undefined;
  if (order.ahead !== undefined) {
    rememberHash(order.ahead.module, order.ahead.hash);
    useFrameStack(order.ahead.frameStack);
  }
  const parts = { control, tell, hostFunctions: functions, compiler };
  guest = new Guest(order, { ...parts, compiling: prepareEngine, compiled: form });
  if (given.engineFlags.length > 0) compiler.setFlags(registerFlags(guest));
  const { command, imagePath, resumes } = guest;
  return { kind: "prepared", image: imagePath, command, resumes };
}

function answer(message: Order, functions: HostFunctions): void {
  try {
    tell(carryOut(message, functions));
  } catch (error) {
    fail(error);
  }
}

function fail(error: unknown): void {
  if (error instanceof StartCancelled) tell({ kind: "cancelled" });
  else if (error instanceof StackTooShort) tell({ kind: "needsStack" });
  else tell({ kind: "failed", error: serializeError(error) });
}

/** Evaluating somebody's module may take any time. */
async function loadImports(href: string): Promise<HostFunctions> {
  let stopped: boolean;
  let functions: HostFunctions;
  control.enterInterruptible();
  try {
    functions = await HostFunctions.load(href);
  } finally {
    stopped = control.leaveInterruptible();
  }
  if (stopped) throw new StartCancelled();
  return functions;
}

function exit({ status }: ExitOrder): void {
  given.keepCode?.(end);
  libc().exit(status);
}

port.on("message", (message: Order | PrecompileOrder | ExitOrder) => {
  if (message.kind === "exit") return exit(message);
  if (message.kind === "precompile") return precompileForm(message);
  const imports = message.kind === "prepare" ? message.order.imports : undefined;
  if (imports === undefined) answer(message, new HostFunctions());
  else loadImports(imports).then((functions) => answer(message, functions), fail);
});
