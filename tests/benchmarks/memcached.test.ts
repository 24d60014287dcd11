/** The benchmark of caches measures what it says, and its load generator believes no wrong answer. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Measurement } from "../../benchmarks/memcached/measurement.js";
import { memcachedPart } from "../../benchmarks/page/memcached.js";
import type { Results } from "../../benchmarks/page/results.js";
import { root } from "../corpus/paths.js";

const folder = mkdtempSync(join(tmpdir(), "vermilion-memcached-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const program = (name: string) => join(root, "dist", "benchmarks", `${name}.js`);

test("every server that can be had answers; the page has a line for each", { timeout: 120_000 }, () => {
  const output = join(folder, "results.json");
  const { status, stderr } = spawnSync(
    process.execPath,
    [program("memcached"), "--quick", "--depths", "1,4", "--operations", "300", "--output", output],
    { encoding: "utf8" },
  );
  expect(status, stderr).toBe(0);
  const { memcached } = JSON.parse(readFileSync(output, "utf8")) as Results;
  const names = Object.keys(memcached?.about ?? {}).filter((name) => !(name in (memcached?.skipped ?? {})));
  expect(names).toContain("vermilion, points and log");
  expect(memcached?.experiments.map(({ name }) => name)).toEqual([
    ...["95 % gets, 1 at a time", "75 % gets, 1 at a time", "95 % gets, 4 at a time", "75 % gets, 4 at a time"],
  ]);
  for (const { measurements } of memcached?.experiments ?? []) {
    expect(Object.keys(measurements).toSorted()).toEqual(names.toSorted());
    for (const [{ perSecond, p50Microseconds, p99Microseconds }] of Object.values(measurements) as [Measurement][]) {
      expect(perSecond).toBeGreaterThan(0);
      expect(p50Microseconds).toBeLessThanOrEqual(p99Microseconds);
    }
  }
  const page = memcachedPart(memcached);
  for (const name of names) expect(page.match(new RegExp(`^\\| ${name} \\|`, "gm"))).toHaveLength(4);
});

test("an answer with one wrong byte: the generator fails", async () => {
  const server = createServer((socket) => {
    socket.on("data", (chunk) => {
      for (const line of chunk.toString("latin1").split("\r\n"))
        if (line.startsWith("set ")) socket.write("STORES\r\n");
    });
    socket.on("error", () => {});
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const child = spawn(process.execPath, [program("memcached/generator"), "--port", String(port), "--fill"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  await once(child, "close");
  server.close();
  expect(child.exitCode).toBe(1);
  expect(stderr).toContain("unexpected answer");
});
