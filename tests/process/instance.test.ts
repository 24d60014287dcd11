import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CreateOptions, type FailurePlan, Process } from "vermilion";
import { afterAll, describe, expect, test } from "vitest";
import { placeGuest } from "../support/guests.js";
import { assemble } from "./machine/harness.js";

const directory = mkdtempSync(join(tmpdir(), "vermilion-instance-"));
const cacheDirectory = join(tmpdir(), "vermilion-test-cache", "vermilion");
const reactor = placeGuest(directory, "reactor");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let images = 0;

/** Options for an instance with an image and an output file of its own. */
function optionsFor(
  more: Partial<Omit<CreateOptions, "image">> = {},
): CreateOptions & { readonly image: string; readonly output: () => string } {
  const image = join(directory, `image-${++images}`);
  const stdout = openSync(`${image}.out`, "w");
  const output = () => readFileSync(`${image}.out`, "utf8");
  return { module: reactor, instance: true, cacheDirectory, stdio: [-1, stdout, 2], output, ...more, image };
}

describe("call", () => {
  test("initialized by the first call only; memory and globals are kept, here and in the image", async () => {
    const options = optionsFor();
    const instance = await Process.create(options);
    expect(instance.resumes).toBeUndefined();
    expect(await instance.call("add", [5])).toEqual({ kind: "returned", values: [105], results: ["105"], epoch: 1 });
    expect(await instance.call("add", ["-6"])).toEqual({ kind: "returned", values: [99], results: ["99"], epoch: 2 });
    expect(options.output()).toBe("7\n8\n5\n4294967290\n");
    expect(await instance.inspect()).toMatchObject({ status: "saved", frames: [], epoch: 2 });
    await instance.close();
    const again = await Process.open(options.image, { cacheDirectory, stdio: options.stdio });
    expect(again.resumes).toBeUndefined();
    expect(await again.call("add", [1])).toMatchObject({ values: [100], epoch: 3 });
    await again.close();
    const created = await Process.create(options);
    expect(await created.call("add", [1])).toMatchObject({ values: [101], epoch: 4 });
    await created.close();
  });

  test("tables, a grown memory and dropped segments are kept", async () => {
    const moduleBytes = assemble(`(module
      (memory (export "memory") 1 3)
      (table (export "table") 2 4 funcref)
      (data $text "x")
      (func $one (result i32) (i32.const 1))
      (func $two (result i32) (i32.const 2))
      (elem (i32.const 0) $one $two)
      (func (export "swap") (table.set (i32.const 0) (table.get (i32.const 1))))
      (func (export "first") (result i32) (call_indirect (result i32) (i32.const 0)))
      (func (export "grow") (result i32) (memory.grow (i32.const 1)))
      (func (export "drop") (data.drop $text))
      (func (export "init") (memory.init $text (i32.const 0) (i32.const 0) (i32.const 1))))`);
    for (const fresh of [false, true]) {
      let instance = await Process.create(optionsFor({ moduleBytes }));
      const call = async (name: string) => {
        if (fresh) {
          await instance.close();
          instance = await Process.open(instance.image, { cacheDirectory });
        }
        return instance.call(name);
      };
      expect(await instance.call("first")).toMatchObject({ values: [1] });
      await call("swap");
      expect(await call("first")).toMatchObject({ values: [2] });
      expect(await call("grow")).toMatchObject({ values: [1] });
      expect(await call("grow")).toMatchObject({ values: [2] });
      expect(await call("init")).toMatchObject({ kind: "returned" });
      await call("drop");
      expect(await call("init")).toMatchObject({ kind: "trapped" });
    }
  });

  test("values of every type, as numbers and as texts", async () => {
    const instance = await Process.create(optionsFor({ module: placeGuest(directory, "functions") }));
    const numbers = await instance.call("mix", [-1, -(2n ** 63n), 0.1, -0]);
    expect(numbers).toMatchObject({ values: [-0, Math.fround(0.1), -(2n ** 63n), -1] });
    expect(numbers).toMatchObject({ results: ["-0", "0.1", "-9223372036854775808", "-1"] });
    const odd = await instance.call("mix", ["0x10", "7", Number.NEGATIVE_INFINITY, Number.NaN]);
    expect(odd).toMatchObject({ values: [Number.NaN, Number.NEGATIVE_INFINITY, 7n, 16] });
    await instance.close();
  });

  test("a call that cannot be: refused, and the instance is as before", async () => {
    const options = optionsFor();
    const instance = await Process.create(options);
    await expect(instance.call("subtract")).rejects.toMatchObject({ code: "NO_SUCH_EXPORT" });
    await expect(instance.run()).rejects.toMatchObject({ code: "CALL_NEEDED" });
    expect(await instance.call("add", [1])).toMatchObject({ values: [101] });
    await expect(instance.call("add", [])).rejects.toMatchObject({ code: "BAD_ARGUMENT" });
    await expect(instance.call("add", [0.5])).rejects.toMatchObject({ code: "BAD_ARGUMENT" });
    expect(await instance.call("add", [1])).toMatchObject({ values: [102] });
    await expect(instance.run()).rejects.toMatchObject({ code: "CALL_NEEDED" });
    await instance.close();
    const program = await Process.create(optionsFor({ instance: false, module: placeGuest(directory, "counter") }));
    await expect(program.call("add", [1])).rejects.toMatchObject({ code: "NO_INSTANCE" });
    await program.close();
  });

  test("never called: no image is left", async () => {
    const { image, ...options } = optionsFor();
    const instance = await Process.create({ ...options, image });
    await expect(instance.call("subtract")).rejects.toMatchObject({ code: "NO_SUCH_EXPORT" });
    await instance.close();
    await expect(Process.inspect(image)).rejects.toMatchObject({ code: "IMAGE_MISSING" });
  });

  test("many calls: no descriptor is left open, and nobody else gets in between", async () => {
    const open = () => readdirSync("/proc/self/fd").length;
    const options = optionsFor();
    const before = open();
    const instance = await Process.create(options);
    for (let calls = 1; calls <= 20; calls++) {
      expect(await instance.call("add", [1])).toMatchObject({ values: [100 + calls] });
    }
    await expect(Process.open(options.image)).rejects.toMatchObject({ code: "IMAGE_BUSY" });
    await instance.close();
    await sleep(20);
    expect(open()).toBe(before);
    closeSync(options.stdio?.[1] ?? -1);
  });
});

describe("a failure inside a call", () => {
  test.each<[string, FailurePlan]>([
    ["before a host call", { atCall: { name: "fd_write", ordinal: 2, when: "before" } }],
    ["after a host call", { atCall: { name: "fd_write", ordinal: 1, when: "after" } }],
    ["at every safepoint", { atSafepoint: 1 }],
    ["at every second safepoint", { atSafepoint: 2 }],
  ])("%s: the same call goes on, here and in a fresh process", async (_, failure) => {
    const reference = optionsFor();
    const whole = await Process.create(reference);
    for (const amount of [3, 4]) await whole.call("add", [amount]);
    await whole.close();
    for (const fresh of [false, true]) {
      const options = optionsFor();
      let instance = await Process.create(options);
      const results: string[] = [];
      let failures = 0;
      for (const amount of [3, 4]) {
        for (;;) {
          const outcome = await instance.call("add", [amount], { failure });
          if (fresh) {
            await instance.close();
            instance = await Process.open(options.image, { cacheDirectory, stdio: options.stdio });
          }
          if (outcome.kind === "returned") results.push(...outcome.results);
          if (outcome.kind !== "powerFailed") break;
          failures++;
        }
      }
      await instance.close();
      expect(results).toEqual(["103", "107"]);
      expect(options.output()).toBe(reference.output());
      expect(failures).toBeGreaterThan(0);
    }
  });

  test("until it is done there is no other call; run goes on with it", async () => {
    const options = optionsFor();
    const instance = await Process.create(options);
    await instance.call("add", [1]);
    const failure: FailurePlan = { atCall: { name: "fd_write", ordinal: 1, when: "before" } };
    expect(await instance.call("add", [2], { failure })).toMatchObject({ kind: "powerFailed", epoch: 2 });
    await expect(instance.call("add", [3])).rejects.toMatchObject({ code: "CALL_UNFINISHED" });
    await expect(instance.call("slow_add", [2])).rejects.toMatchObject({ code: "CALL_UNFINISHED" });
    await instance.close();
    const again = await Process.open(options.image, { cacheDirectory, stdio: options.stdio });
    expect(again.resumes).toMatchObject({ epoch: 2 });
    expect(await again.run()).toMatchObject({ kind: "returned", values: [103] });
    expect(await again.call("add", [3])).toMatchObject({ values: [106] });
    await again.close();
  });

  test("powerFail between two calls: nothing; during one: saved", async () => {
    const options = optionsFor();
    const instance = await Process.create(options);
    await instance.call("add", [1]);
    instance.powerFail();
    expect(await instance.call("add", [1])).toMatchObject({ values: [102] });
    const running = instance.call("slow_add", [1], { failure: { afterMilliseconds: 20 } });
    expect(await running).toMatchObject({ kind: "powerFailed" });
    expect(await instance.call("slow_add", [1])).toMatchObject({ values: [103] });
    await instance.close();
  });
});

describe("the end of an instance", () => {
  test("a trap or an exit in a call: it is over, and begins again only when asked", async () => {
    for (const [name, args, outcome] of [
      ["fail", [], { kind: "trapped" }],
      ["leave", [3], { kind: "exited", status: 3 }],
    ] as const) {
      const options = optionsFor();
      const instance = await Process.create(options);
      await instance.call("add", [1]);
      expect(await instance.call(name, args)).toMatchObject(outcome);
      await expect(instance.call("add", [1])).rejects.toMatchObject({ code: "PROCESS_OVER" });
      await expect(Process.create(options)).rejects.toMatchObject({ code: "INSTANCE_OVER" });
      const anew = await Process.create({ ...options, ifUnfinished: "replace" });
      expect(await anew.call("add", [1])).toMatchObject({ values: [101] });
      await anew.close();
    }
  });

  test("a trap in the first call: nothing was gathered yet, so it simply begins again", async () => {
    const options = optionsFor();
    const instance = await Process.create(options);
    expect(await instance.call("fail")).toMatchObject({ kind: "trapped" });
    const anew = await Process.create(options);
    expect(await anew.call("add", [1])).toMatchObject({ values: [101] });
    await anew.close();
  });

  test("closed during a call: as before it", async () => {
    const options = optionsFor();
    const instance = await Process.create(options);
    await instance.call("add", [1]);
    const running = instance.call("slow_add", [1]);
    running.catch(() => {});
    await sleep(30);
    await instance.close();
    await expect(running).rejects.toMatchObject({ code: "PROCESS_CLOSED" });
    const again = await Process.open(options.image);
    expect(await again.call("add", [1])).toMatchObject({ values: [102] });
    await again.close();
  });

  test("closed during a call, in place: lost", async () => {
    const options = { ...optionsFor(), inPlace: true };
    const instance = await Process.create(options);
    await instance.call("add", [1]);
    const running = instance.call("slow_add", [1]);
    running.catch(() => {});
    await sleep(30);
    await instance.close();
    await expect(running).rejects.toMatchObject({ code: "PROCESS_CLOSED" });
    await expect(Process.create(options)).rejects.toMatchObject({ code: "INSTANCE_OVER" });
    await expect(Process.open(options.image)).rejects.toMatchObject({ code: "IMAGE_INTERRUPTED" });
  });
});
