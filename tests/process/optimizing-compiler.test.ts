import { readFileSync } from "node:fs";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { MessageChannel } from "node:worker_threads";
import { afterAll, describe, expect, test } from "vitest";
import { ControlBlock } from "../../runtime/process/control-block.js";
import { RemoteCompiler, serveCompiler } from "../../runtime/process/optimizing-compiler.js";
import { withOptimizingHints } from "../../runtime/wasm/compilation-hints.js";
import { assembleText, exampleModule } from "../support/guests.js";

setFlagsFromString("--allow-natives-syntax");
const isOptimized = new Function("f", "return %IsTurboFanFunction(f)") as (f: unknown) => boolean;

const control = ControlBlock.create();
const { port1, port2 } = new MessageChannel();
serveCompiler(port1, control);
const compiler = new RemoteCompiler(port2, control, true);
afterAll(() => port2.close());

const SUM = `(module (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "twice") (param i32) (result i32) (call $add (local.get 0) (local.get 0))))`;

/** An example that takes the optimising tier some time, with an export to look at. */
const large = withOptimizingHints(readFileSync(exampleModule("n-body")));

test("withOptimizingHints: a module that does the same", () => {
  const bytes = withOptimizingHints(assembleText(SUM)) as Uint8Array<ArrayBuffer>;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  expect((exports["twice"] as (n: number) => number)(21)).toBe(42);
  expect(WebAssembly.Module.customSections(new WebAssembly.Module(bytes), "compilationHints")).toHaveLength(1);
});

async function finished(): Promise<WebAssembly.Module> {
  for (;;) {
    const compiled = compiler.finished();
    if (compiled?.module !== undefined) return compiled.module;
    await sleep(2);
  }
}

describe.runIf(compiler.isOptimizing)("while the guest runs (Node 20; later ones make baseline code there)", () => {
  test("what is asked for is optimised, and no other code of the program", async () => {
    compiler.begin(large, true);
    await turn();
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(assembleText(SUM) as Uint8Array<ArrayBuffer>));
    expect((exports["twice"] as (n: number) => number)(21)).toBe(42);
    expect(compiler.finished()).toBeUndefined(); // or else the test says nothing
    expect(isOptimized(exports["twice"])).toBe(false);
    await finished();
    // Other bytes than any before: the engine knows compiled code by them.
    compiler.begin(withOptimizingHints(assembleText(SUM.replace("twice", "other"))), true);
    const instance = new WebAssembly.Instance(await finished());
    expect(isOptimized(instance.exports["other"])).toBe(true);
    expect(isOptimized(exports["twice"])).toBe(false);
  });
});

test("a failure comes before it is compiled: the guest goes on without, and what it compiles has a baseline tier", async () => {
  const failing = ControlBlock.create();
  const ports = new MessageChannel();
  serveCompiler(ports.port1, failing);
  failing.requestFailure();
  expect(new RemoteCompiler(ports.port2, failing, true).compile(large)).toBeUndefined();
  const checked = new Promise<boolean>((resolve) => {
    ports.port2.on("message", () => resolve(true)); // it was answered, one way or the other
  });
  await turn();
  const bytes = assembleText(SUM.replace("twice", "later")) as Uint8Array<ArrayBuffer>;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  expect((exports["later"] as (n: number) => number)(21)).toBe(42);
  expect(isOptimized(exports["later"])).toBe(false);
  expect(await checked).toBe(true);
  ports.port2.close();
});
