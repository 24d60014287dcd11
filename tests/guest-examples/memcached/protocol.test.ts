/** The guest example memcached answers as memcached does, however the bytes come and go. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, expect, test } from "vitest";
import { root } from "../../corpus/paths.js";
import { Workshop } from "../../support/command-line.js";
import { freePort } from "../../support/free-port.js";
import { Client } from "./client.js";
import { nativeMissing, startGuest, startNative, stop } from "./server.js";
import { session } from "./session.js";

const shop = new Workshop();
const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});
afterAll(() => shop.remove());

async function guestPort(...args: string[]): Promise<number> {
  const port = await freePort();
  const server = startGuest(shop, `image-${port}`, port, ["--quiet"], args);
  ends.push(() => stop(server));
  return port;
}

async function connect(port: number): Promise<Client> {
  const client = await Client.connect(port);
  ends.push(() => client.close());
  return client;
}

const CAS = /(VALUE \S+ \d+ \d+ )(\d+)/g;

/** The answers to all requests of the session, with CAS in place of its numbers. */
async function answersOf(client: Client): Promise<(readonly [string, string | undefined])[]> {
  const answers: [string, string | undefined][] = [];
  let cas = "";
  for (const [request] of session) {
    const answer = await client.ask(request.replace("CAS", cas));
    cas = [...(answer ?? "").matchAll(CAS)].at(-1)?.[2] ?? cas;
    answers.push([request, answer?.replace(CAS, "$1CAS")]);
  }
  return answers;
}

/** What can be sent without waiting for an answer, and is short. */
const LONG = session.findIndex(([request]) => request.length > 1000);
const CAS_REQUEST = session.findIndex(([request]) => request.includes("CAS"));
const PIPELINED = session.filter((_, i) => i < LONG && i !== CAS_REQUEST && i !== CAS_REQUEST + 1);

test("every command and mistake of the session: the answers of memcached 1.6", async () => {
  expect(await answersOf(await connect(await guestPort()))).toEqual(session);
});

test("the same session with the memcached that is installed: byte for byte the same", async (context) => {
  if (nativeMissing !== undefined) return context.skip(nativeMissing);
  const port = await freePort();
  ends.push(startNative(port));
  expect(await answersOf(await connect(port))).toEqual(session);
});

test("memccapable, libmemcached's test of the protocol: passes", async (context) => {
  if (spawnSync("memccapable", ["--help"]).error !== undefined)
    return context.skip("memccapable is not installed (Debian: libmemcached-tools)");
  const port = await guestPort();
  await connect(port); // it listens
  const { stdout, status } = spawnSync("memccapable", ["-h", "127.0.0.1", "-p", String(port), "-a"], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect(status, stdout).toBe(0);
});

test.each([1, 7, 1000])("pipelined, in pieces of %i bytes: the same answers in the same order", async (byteLength) => {
  const client = await connect(await guestPort());
  const all = PIPELINED.map(([request]) => `${request}\r\n`).join("");
  for (let at = 0; at < all.length; at += byteLength) {
    client.send(all.slice(at, at + byteLength));
    if (at % (byteLength * 64) === 0) await new Promise(setImmediate);
  }
  const answers = await client.ask("verbosity 1");
  expect(answers?.replace(CAS, "$1CAS")).toBe(`${PIPELINED.map(([, answer]) => answer).join("")}OK\r\n`);
});

test("standard input and output: the example's own session", async () => {
  const folder = join(root, "guest-examples", "memcached");
  const input = readFileSync(join(folder, "input.txt"), "utf8");
  const run = await shop.run(["run", "--quiet", "--image", "stdio", join(folder, "memcached.wasm")], { input });
  expect(run).toMatchObject({ status: 0, stdout: readFileSync(join(folder, "expected-output.txt"), "utf8") });
});

test("a client that does not take its answers stops nobody else, and gets them all in the end", async () => {
  const port = await guestPort();
  const [slow, other] = [await connect(port), await connect(port)];
  const value = Buffer.alloc(1 << 20, "0123456789abcde").toString();
  expect(await slow.line(`set large 0 0 ${value.length}\r\n${value}`)).toBe("STORED");
  const chunks: Buffer[] = [];
  slow.socket.pause().removeAllListeners("data");
  for (let i = 0; i < 3; i++) slow.send(`get${" large".repeat(20)}\r\n`);
  for (let i = 0; i < 20; i++) expect(await other.line(`set k${i} 0 0 1\r\n${i % 10}`)).toBe("STORED");
  slow.socket.on("data", (text: string) => chunks.push(Buffer.from(text, "latin1"))).resume();
  slow.send("quit\r\n");
  await slow.closed();
  const expected = `${`VALUE large 0 ${value.length}\r\n${value}\r\n`.repeat(20)}END\r\n`.repeat(3);
  expect(Buffer.concat(chunks).equals(Buffer.from(expected))).toBe(true);
});

test("many connections at once; above -c they wait until another leaves", async () => {
  const port = await guestPort("-c", "50");
  const clients = await Promise.all(Array.from({ length: 50 }, () => connect(port)));
  await Promise.all(
    clients.map(async (client, i) => expect(await client.line(`set k${i} 0 0 2\r\nhi`)).toBe("STORED")),
  );
  await Promise.all(clients.map(async (client, i) => expect(await client.value(`k${49 - i}`)).toBe("hi")));
  const late = await connect(port);
  const answered = late.value("k7");
  expect(await Promise.race([answered, sleep(200, "waits")])).toBe("waits");
  clients[0]?.send("quit\r\n");
  expect(await answered).toBe("hi");
});

test("-m: what was used longest ago goes first, and the limit is kept", async () => {
  const client = await connect(await guestPort("-m", "1"));
  const value = "v".repeat(1000);
  for (let i = 0; i < 3000; i++) client.send(`set k${i} 0 0 1000 noreply\r\n${value}\r\nget k0\r\n`);
  const stats = (await client.ask("stats"))?.split("END\r\n").at(-2) ?? "";
  const number = (name: string) => Number(new RegExp(`STAT ${name} (\\d+)`).exec(stats)?.[1]);
  expect(number("bytes")).toBeLessThanOrEqual(1 << 20);
  expect(number("curr_items")).toBeGreaterThan(800);
  expect(number("evictions")).toBe(3000 - number("curr_items"));
  expect(await client.value("k0")).toBe(value);
  expect(await client.value("k1")).toBeUndefined();
  expect(await client.value("k2999")).toBe(value);
  expect(await client.line(`set k2999 0 0 1048576\r\n${"x".repeat(1 << 20)}`)).toMatch(/^SERVER_ERROR /);
  expect(await client.value("k2999")).toBeUndefined();
});

test("expiry: found until its time, and not after; flush_all with a delay likewise", async () => {
  const client = await connect(await guestPort());
  await client.ask("set short 0 2 1\r\na\r\nset kept 0 0 1\r\nb\r\nset touched 0 2 1\r\nc\r\ntouch touched 100");
  await client.ask(`set absolute 0 ${Math.floor(Date.now() / 1000) + 2} 1\r\nd`);
  expect(await client.ask("get short kept touched absolute")).toMatch(
    /^VALUE short .*VALUE kept .*VALUE touched .*VALUE absolute/s,
  );
  await sleep(2500);
  expect(await client.ask("get short kept touched absolute")).toBe(
    "VALUE kept 0 1\r\nb\r\nVALUE touched 0 1\r\nc\r\nEND\r\n",
  );
  expect(await client.line("flush_all 2")).toBe("OK");
  expect(await client.value("kept")).toBe("b");
  await sleep(2500);
  expect(await client.value("kept")).toBeUndefined();
});

test("a line without an end: the connection is closed, others go on", async () => {
  const port = await guestPort();
  const [babbling, other] = [await connect(port), await connect(port)];
  babbling.send("x".repeat(5000));
  await babbling.closed();
  expect(await other.line("get a")).toBe("END");
});
