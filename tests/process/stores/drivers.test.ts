import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import type { BlockStore } from "../../../runtime/process/stores/block-store.js";
import { DirectoryStore } from "../../../runtime/process/stores/directory-store.js";
import { SqliteStore } from "../../../runtime/process/stores/sqlite-store.js";
import { errorCode, scratchDirectory } from "../image/support.js";

let scratch: string;
beforeEach(() => {
  scratch = scratchDirectory();
});

const DRIVERS: readonly [string, () => Promise<BlockStore & { close?: () => void }>][] = [
  ["a directory", async () => new DirectoryStore(join(scratch, "deep", "store"))],
  ["an SQLite database", () => SqliteStore.open(join(scratch, "store.db"))],
];

describe.each(DRIVERS)("%s", (_what, open) => {
  const bytes = (length: number, seed: number) => Uint8Array.from({ length }, (_, i) => i * 7 + seed);

  test("what was put comes back, also from another handle; a second put replaces it", async () => {
    const store = await open();
    await Promise.all([store.put("blocks/ab", bytes(70_000, 1)), store.put("blocks/cd", bytes(3, 2))]);
    await store.put("epochs/01", new Uint8Array(0));
    await store.put("blocks/cd", bytes(5, 3));
    store.close?.();
    const again = await open();
    expect(await again.get("blocks/ab").then(Buffer.from as never)).toEqual(Buffer.from(bytes(70_000, 1)));
    expect([...((await again.get("blocks/cd")) ?? [])]).toEqual([...bytes(5, 3)]);
    expect((await again.get("epochs/01"))?.byteLength).toBe(0);
    expect(await again.get("blocks/ef")).toBeUndefined();
    again.close?.();
  });

  test("list: names that begin so, with their lengths; nothing yet: nothing", async () => {
    const store = await open();
    expect(await store.list("")).toEqual([]);
    expect(await store.get("blocks/ab")).toBeUndefined();
    for (const name of ["blocks/ab", "blocks/ac", "epochs/1"]) await store.put(name, bytes(9, 1));
    const sorted = async (prefix: string) => [...(await store.list(prefix))].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(await sorted("blocks/")).toEqual([
      { name: "blocks/ab", byteLength: 9 },
      { name: "blocks/ac", byteLength: 9 },
    ]);
    expect(await sorted("")).toHaveLength(3);
    store.close?.();
  });

  test("remove: gone; what is not there: no error", async () => {
    const store = await open();
    await store.put("blocks/ab", bytes(9, 1));
    for (let times = 0; times < 2; times++) await store.remove("blocks/ab");
    expect(await store.list("")).toEqual([]);
    store.close?.();
  });
});

describe("DirectoryStore", () => {
  test("a put that was cut leaves a file that is no block, and can be removed", async () => {
    const store = new DirectoryStore(scratch);
    await store.put("blocks/ab", new Uint8Array(1));
    expect(readdirSync(join(scratch, "unfinished"))).toEqual([]);
    writeFileSync(join(scratch, "unfinished", "0".repeat(32)), "half");
    expect(await store.list("blocks/")).toHaveLength(1);
    for (const { name } of await store.list("unfinished/")) await store.remove(name);
    expect(readdirSync(join(scratch, "unfinished"))).toEqual([]);
  });

  test("no name leads out of it", async () => {
    const store = new DirectoryStore(scratch);
    for (const name of ["../x", "blocks/../../x", "/etc/passwd", "blocks/", "blocks/AB", "x"]) {
      await expect(store.put(name, new Uint8Array(1)), name).rejects.toThrow();
      await expect(store.get(name), name).rejects.toThrow();
      await expect(store.remove(name), name).rejects.toThrow();
    }
  });

  test("a file in its place: an error of the disk", async () => {
    writeFileSync(join(scratch, "file"), "");
    await expect(new DirectoryStore(join(scratch, "file")).put("blocks/ab", new Uint8Array(1))).rejects.toMatchObject({
      code: expect.stringMatching(/^[A-Z_]+$/),
    });
  });
});

describe("SqliteStore", () => {
  test("what is no database: STORE_FAILED; what cannot be opened: the disk's code", async () => {
    writeFileSync(join(scratch, "text.db"), "dear diary, ".repeat(1000));
    await expect(SqliteStore.open(join(scratch, "text.db"))).rejects.toThrow(errorCode("STORE_FAILED"));
    mkdirSync(join(scratch, "directory.db"));
    await expect(SqliteStore.open(join(scratch, "directory.db"))).rejects.toMatchObject({ name: "VermilionError" });
    await expect(SqliteStore.open(join(scratch, "none", "a.db"))).rejects.toThrow(errorCode("NOT_FOUND"));
  });

  test("the lock that a killed process has left is nobody's", async () => {
    const path = join(scratch, "store.db");
    mkdirSync(`${path}.lock`);
    const store = await SqliteStore.open(path);
    mkdirSync(`${path}.lock`);
    await store.put("blocks/ab", new Uint8Array(5));
    expect(await store.list("")).toHaveLength(1);
    store.close();
  });

  test("two at the same time: both write, and see what the other has written", async () => {
    const [a, b] = [
      await SqliteStore.open(join(scratch, "store.db")),
      await SqliteStore.open(join(scratch, "store.db")),
    ];
    const puts = Array.from({ length: 40 }, (_, i) =>
      (i % 2 === 0 ? a : b).put(`blocks/${i.toString(16)}`, new Uint8Array(i)),
    );
    await Promise.all(puts);
    for (const store of [a, b]) expect(await store.list("blocks/")).toHaveLength(40);
    for (const store of [a, b]) store.close();
  });
});

test("SIGKILL while blocks are put: those whose put had resolved are there, whole, and the store goes on", {
  timeout: 60_000,
}, async () => {
  const library = fileURLToPath(new URL("../../../dist/runtime/index.js", import.meta.url));
  const program = `
    import { Stores } from ${JSON.stringify(library)};
    const [kind, path] = process.argv.slice(1);
    const store = await Stores[kind](path);
    for (let i = 1; ; i++) {
      await Promise.all([0, 1, 2].map((k) => store.put("blocks/" + (3 * i + k).toString(16), new Uint8Array(65536).fill(i))));
      process.stdout.write(i + "\\n");
    }`;
  for (const kind of ["sqlite", "directory"] as const) {
    const path = join(scratch, kind);
    let least = 0;
    for (let kill = 0; kill < 12; kill++) {
      const child = spawn(process.execPath, ["--input-type=module", "-e", program, kind, path]);
      let output = "";
      child.stdout.on("data", (chunk: Buffer) => {
        output += chunk.toString();
      });
      await expect.poll(() => output, { timeout: 10_000, interval: 2 }).toContain("3\n");
      await sleep(kill * 3 + 1);
      child.kill("SIGKILL");
      await once(child, "close");
      least = Math.max(least, Number(output.split("\n").at(-2)));
      const store = kind === "sqlite" ? await SqliteStore.open(path) : new DirectoryStore(path);
      for (let i = 1; i <= least; i++) {
        for (const k of [0, 1, 2]) {
          const bytes = (await store.get(`blocks/${(3 * i + k).toString(16)}`)) ?? new Uint8Array(0);
          expect([bytes.byteLength, bytes[0], bytes[65_535]], `${kind}, block ${i}`).toEqual([
            65_536,
            i % 256,
            i % 256,
          ]);
        }
      }
      if (store instanceof SqliteStore) {
        expect((await store.list("blocks/")).length % 3, "of a transaction all or nothing").toBe(0);
        store.close();
      }
    }
  }
});

test("a directory that could not be made is tried again by the next block", async () => {
  const store = new DirectoryStore(join(scratch, "disk", "deep", "store"));
  writeFileSync(join(scratch, "disk"), "not mounted yet");
  await expect(store.put("blocks/ab", new Uint8Array(3))).rejects.toMatchObject({ code: "NOT_FOUND" });
  rmSync(join(scratch, "disk"));
  await store.put("blocks/ab", new Uint8Array(3));
  expect(await store.list("")).toEqual([{ name: "blocks/ab", byteLength: 3 }]);
});
