/**
 * Nothing that a client of the cache was told is lost or done twice: not by power failures under traffic, each resumed in a fresh
 * process, and with persistence points and the log not by SIGKILL either.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { type Running, Workshop } from "../../support/command-line.js";
import { freePort } from "../../support/free-port.js";
import { Client } from "./client.js";
import { startGuest, stop } from "./server.js";
import { Traffic } from "./traffic.js";

const shop = new Workshop();
/** The last one started; a test that fails leaves it running. */
let server: Running | undefined;
afterEach(async () => {
  if (server !== undefined) await stop(server);
});
afterAll(() => shop.remove());

const FAILURES = 4;
const CLIENTS = 5;

describe.each([
  { signal: "SIGPWR", options: [], name: "power" },
  { signal: "SIGKILL", options: ["--persist-every", "50ms"], name: "kill" },
  { signal: "SIGKILL", options: ["--log", "--uncertain", "skip"], name: "log" },
] as const)("$signal under traffic, run $options", ({ signal, options, name }) => {
  test(`${FAILURES} times in a row: nothing lost, nothing twice`, { timeout: 120_000 }, async () => {
    const port = await freePort();
    server = startGuest(shop, name, port, options);
    const traffic = new Traffic(port, CLIENTS);
    await traffic.begin();
    for (let failure = 1; failure <= FAILURES; failure++) {
      const before = traffic.acknowledged;
      const over = traffic.run();
      await sleep(150 + 60 * failure);
      server.kill(signal);
      const ended = await server.ended;
      if (signal === "SIGPWR") expect(ended.status, ended.stderr).toBe(85);
      await over;
      expect(traffic.acknowledged).toBeGreaterThan(before);
      server = startGuest(shop, name, port, options);
      expect(await traffic.check(), `failure ${failure}`).toEqual([]);
    }
    await stop(server);
    const { stderr } = await server.ended;
    expect(stderr).toContain("resuming");
  });
});

test("times go on while the power is off: what expired meanwhile is gone, the rest is not", async () => {
  const port = await freePort();
  server = startGuest(shop, "expiry", port);
  const client = await Client.connect(port);
  await client.ask("set short 0 1 1\r\na\r\nset long 0 1000 1\r\nb\r\nset kept 9 0 1\r\nc");
  server.kill("SIGPWR");
  expect((await server.ended).status).toBe(85);
  expect(await client.line("get kept")).toBeUndefined(); // the connection is gone
  await sleep(1500);
  server = startGuest(shop, "expiry", port);
  const again = await Client.connect(port);
  expect(await again.ask("get short long kept")).toBe("VALUE long 0 1\r\nb\r\nVALUE kept 9 1\r\nc\r\nEND\r\n");
  again.close();
});
