import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, test } from "vitest";
import { Image } from "../../../runtime/process/image/image.js";
import { createSaved, errorCode, PAGE, savedBytes, scratchDirectory, thrownBy, VERSION } from "./support.js";

/** Killing a process proves what its death leaves, not what a power cut does: that is power-cut.test.ts. */

const IMAGE = new URL("../../../dist/runtime/process/image/image.js", import.meta.url).href;
const PAGES = 4;

/**
 * Goes on with the image at `path`, or makes it, and then saves as fast as it can. Generation g fills every page's
 * first byte and the state, whose length varies, with g % 256.
 */
const SAVER = `
  import { existsSync } from "node:fs";
  const { Image } = await import(${JSON.stringify(IMAGE)});
  const path = process.argv[1];
  const fresh = !existsSync(path);
  const image = fresh
    ? Image.create(path, { moduleBytes: new Uint8Array(8), command: {}, instrumenterVersion: 7 })
    : Image.open(path, { instrumenterVersion: 7 });
  const memory = new WebAssembly.Memory({ initial: ${PAGES}, maximum: ${PAGES} });
  const backing = fresh ? image.createMemory() : image.memories[0];
  if (fresh) backing.grow(${PAGES * PAGE});
  backing.attach(memory, ${PAGES * PAGE});
  const bytes = new Uint8Array(memory.buffer);
  let generation = fresh ? 0 : image.readState().process.generation;
  process.stdout.write("ready");
  for (;;) {
    image.markRunning();
    generation++;
    for (let page = 0; page < ${PAGES}; page++) bytes[page * ${PAGE}] = generation;
    const fill = (length) => new Uint8Array(length).fill(generation);
    const machine = { globals: fill(8), tables: fill(3), segments: fill(0), stacks: fill(100 + (generation % 50) * 1000) };
    image.commit({ machine, wasi: null, process: { generation } }, { why: "failure", hostCalls: 0, keptFiles: [] });
  }`;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function run(script: string, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

describe("SIGKILL while an image is saved over and over", () => {
  test("the last save or the one before, never a mix; the lock is free at once", { timeout: 30_000 }, async () => {
    const path = join(scratchDirectory(), "image");
    const outcomes = { saved: 0, running: 0, nothing: 0 };
    let expected = 0;
    const end = Date.now() + 5000;
    while (Date.now() < end || outcomes.saved + outcomes.running < 6) {
      const child = run(SAVER, path);
      await once(child.stdout!, "data");
      await new Promise((done) => setTimeout(done, Math.random() * 20));
      child.kill("SIGKILL");
      await once(child, "exit");
      const image = Image.open(path, VERSION); // never IMAGE_BUSY, never IMAGE_DAMAGED
      const { status } = image.header;
      if (image.header.state === undefined) {
        expect(expected).toBe(0);
        expect(() => image.readState()).toThrow(errorCode("IMAGE_INTERRUPTED"));
        image.close();
        Image.remove(path);
        outcomes.nothing++;
        continue;
      }
      expect(["saved", "running"]).toContain(status);
      outcomes[status === "saved" ? "saved" : "running"]++;
      const { machine, process } = image.readState();
      const { generation } = process as { generation: number };
      expect(generation).toBeGreaterThanOrEqual(expected);
      expect(new Set(machine.stacks)).toEqual(new Set([generation % 256]));
      const memory = savedBytes(image, 0, PAGES);
      for (let page = 0; page < PAGES; page++) expect(memory[page * PAGE]).toBe(generation % 256);
      expect(readdirSync(path).length).toBeLessThanOrEqual(8);
      expected = generation;
      image.close();
    }
  });
});

const HOLDER = `
  const { Image } = await import(${JSON.stringify(IMAGE)});
  const image = Image.open(process.argv[1], { instrumenterVersion: 7 });
  process.stdout.write("ready");
  setInterval(() => image, 1000);`;

describe("the lock", () => {
  test("another process holds it: IMAGE_BUSY names its pid, readers see it, its death frees it", async () => {
    const path = join(scratchDirectory(), "image");
    createSaved(path);
    const child = run(HOLDER, path);
    await once(child.stdout!, "data");
    const error = thrownBy(() => Image.open(path, VERSION));
    expect(error).toMatchObject({ code: "IMAGE_BUSY", message: expect.stringContaining(`process ${child.pid} `) });
    expect(() => Image.remove(path)).toThrow(errorCode("IMAGE_BUSY"));
    expect(Image.read(path)).toMatchObject({ holder: { pid: child.pid }, header: { status: "saved" } });
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(Image.read(path).holder).toBeUndefined();
    Image.open(path, VERSION).close();
  });

  test("held in this process: IMAGE_BUSY as well, with our own pid", () => {
    const path = join(scratchDirectory(), "image");
    createSaved(path);
    const image = Image.open(path, VERSION);
    expect(thrownBy(() => Image.open(path, VERSION)).message).toContain(`process ${process.pid} `);
    image.close();
    expect(Image.read(path).holder).toBeUndefined();
  });

  test("readers at work do not keep an opener out", () => {
    const path = join(scratchDirectory(), "image");
    createSaved(path);
    const looks = `const { Image } = await import(${JSON.stringify(IMAGE)}); for (;;) Image.read(process.argv[1]).holder;`;
    run(looks, path);
    run(looks, path);
    const end = Date.now() + 500;
    while (Date.now() < end) Image.open(path, VERSION).close();
  });

  test("a Worker that held it was terminated: free", async () => {
    const path = join(scratchDirectory(), "image");
    createSaved(path);
    const worker = new Worker(
      `import(${JSON.stringify(IMAGE)}).then(({ Image }) => {
         globalThis.image = Image.open(${JSON.stringify(path)}, { instrumenterVersion: 7 });
         const memory = globalThis.memory = new WebAssembly.Memory({ initial: 1, maximum: 2 });
         image.memories[0].attach(memory, 2 * ${PAGE});
         image.markRunning();
         require("node:worker_threads").parentPort.postMessage(0);
         const bytes = new Uint8Array(memory.buffer);
         for (let i = 0; ; i++) bytes[i % 1000] = i;
       })`,
      { eval: true },
    );
    await Promise.race([once(worker, "message"), once(worker, "error").then(([error]) => Promise.reject(error))]);
    expect(() => Image.open(path, VERSION)).toThrow(errorCode("IMAGE_BUSY"));
    await worker.terminate();
    const image = Image.open(path, VERSION);
    expect(image.header.status).toBe("running");
    image.close();
  });
});
