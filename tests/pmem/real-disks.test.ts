import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

/** Node loads what was built, not what vitest translates: `npm run setup` brings dist up to date. */
const REGION = new URL("../../dist/pmem/region.js", import.meta.url);
const PAGE = 65_536;

let scratch: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "vermilion-region-"));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

/** An own mount namespace in which `scratch` is a small disk in memory; not every machine lets us have one. */
function onSmallDisk(options: string, script: string): string {
  const mount = `mount -t tmpfs -o ${options} tmpfs "$0" && exec "$@"`;
  const source = `const scratch = ${JSON.stringify(scratch)}; const { Region } = await import(${JSON.stringify(REGION.href)});
    const codeOf = (f) => { try { f(); return "none"; } catch (error) { return error.code; } };
    ${script}`;
  const node = [process.execPath, "--input-type=module", "--eval", source];
  return execFileSync("unshare", ["-rm", "sh", "-c", mount, scratch, ...node], { encoding: "utf8" }).trim();
}
const mayMount = spawnSync("unshare", ["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).status === 0;

describe.skipIf(!mayMount)("a small disk (skipped where a user may not mount one)", () => {
  test("growth up to its size: granted; beyond: refused, holes of earlier growth counted as used", () => {
    const out = onSmallDisk(
      "size=1m",
      `const region = Region.create(scratch + "/memory-0");
       console.log(region.grow(8 * ${PAGE}), region.grow(16 * ${PAGE}), region.grow(17 * ${PAGE}), region.growthRefusal.code);
       const memory = new WebAssembly.Memory({ initial: 16, maximum: 32 });
       region.attach(memory, 32 * ${PAGE});
       new Uint8Array(memory.buffer).fill(1); // every promised page can be had
       region.flush();
       console.log(region.grow(17 * ${PAGE}), codeOf(() => Region.create(scratch + "/memory-1").grow(${PAGE}) || (() => { throw { code: "refused" } })()));`,
    );
    expect(out).toBe("true true false DISK_FULL\nfalse refused");
  });

  test("no inode left: create says DISK_FULL", () => {
    expect(onSmallDisk("nr_inodes=1", `console.log(codeOf(() => Region.create(scratch + "/memory-0")))`)).toBe(
      "DISK_FULL",
    );
  });

  test("read-only: READ_ONLY", () => {
    expect(onSmallDisk("ro", `console.log(codeOf(() => Region.create(scratch + "/memory-0")))`)).toBe("READ_ONLY");
  });
});

describe("a Worker", () => {
  const worker = (script: string) =>
    new Worker(
      `const { parentPort } = require("node:worker_threads"); const { readFileSync } = require("node:fs");
       import(${JSON.stringify(REGION.href)}).then(({ Region }) => {
         const region = Region.create(${JSON.stringify(join(scratch, "memory-0"))});
         region.grow(${PAGE});
         const memory = globalThis.memory = new WebAssembly.Memory({ initial: 1, maximum: 8 });
         region.attach(memory, 8 * ${PAGE});
         region.grow(2 * ${PAGE}); memory.grow(1);
         new Uint8Array(memory.buffer)[${PAGE}] = 55;
         ${script}
       })`,
      { eval: true },
    );
  const message = (from: Worker) => new Promise((done, fail) => from.once("message", done).once("error", fail));

  test("maps, grows and flushes; another thread finds the bytes", async () => {
    const thread = worker("region.flush(); region.close(); parentPort.postMessage(0);");
    await message(thread);
    await thread.terminate();
    const { Region } = await import("../../pmem/region.js");
    const region = Region.open(join(scratch, "memory-0"), 2 * PAGE);
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 8 });
    region.attach(memory, 8 * PAGE);
    expect(new Uint8Array(memory.buffer)[PAGE]).toBe(55);
    region.close();
  });

  test("terminated in the middle of a store loop: no mapping and no descriptor is left, the bytes are", async () => {
    const thread = worker(
      `parentPort.postMessage(0); const bytes = new Uint8Array(memory.buffer); for (let i = 0; ; i++) bytes[5] = i;`,
    );
    await message(thread);
    await thread.terminate();
    const left = execFileSync("sh", ["-c", `cat /proc/${process.pid}/maps; ls -l /proc/${process.pid}/fd`], {
      encoding: "utf8",
    });
    expect(left).not.toContain(scratch);
  });
});
