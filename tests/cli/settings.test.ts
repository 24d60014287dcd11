import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Running, Workshop } from "../support/command-line.js";
import { freePort } from "../support/free-port.js";
import { placeGuest } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());

describe("-S tcplisten", () => {
  const server = placeGuest(shop.work, "server");

  test("a socket at descriptor 3, before the directories; after a power failure it listens again", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const command = ["run", "--image", "server", "--dir", ".", "-S", `cli,tcplisten=${address}`, server];
    const first = shop.start(command);
    await first.printed("1\n");
    first.kill("SIGPWR");
    expect(await first.ended).toMatchObject({ status: 85, stdout: "1\n" });
    const second = shop.start(command);
    expect(await exchange(address, "hello")).toBe("hello");
    expect(await second.ended).toMatchObject({ status: 0, stdout: "2\n" });
  });

  test("resume: listens where this user said; elsewhere or in a strange image only when told again", async () => {
    const address = `unix:${join(shop.work, "socket")}`;
    const command = [
      "run",
      "--image",
      "resumed",
      "--fail-at-call",
      "sock_accept",
      "-S",
      `tcplisten=${address}`,
      server,
    ];
    expect((await shop.run(command)).status).toBe(85);
    const strange = { env: { HOME: join(shop.directory, "another home"), XDG_STATE_HOME: "" } };
    const refused = await shop.run(["resume", "resumed"], strange);
    expect(refused).toMatchObject({ status: 74, stderr: expect.stringContaining(`tcplisten=${address}`) });
    const other = await shop.run(["resume", "-S", "tcplisten=127.0.0.1:0", "resumed"]);
    expect(other).toMatchObject({ status: 74, stderr: expect.stringContaining(`-S tcplisten=${address}`) });
    const again = shop.start(
      ["resume", "-S", `tcplisten=${address}`, "--fail-at-call", "sock_accept", "resumed"],
      strange,
    );
    expect((await again.ended).status).toBe(85);
    const last = shop.start(["resume", "resumed"]);
    expect(await exchange(address, "hello")).toBe("hello");
    expect(await last.ended).toMatchObject({ status: 0, stdout: "2\n" });
  });

  test("other addresses: another process", async () => {
    const [a, b] = [`unix:${join(shop.work, "a")}`, `unix:${join(shop.work, "b")}`];
    for (const address of [a, b]) {
      const run = await shop.run(["run", "--fail-at-call", "sock_accept", "-S", `tcplisten=${address}`, server]);
      expect(run).toMatchObject({ status: 85, stdout: "1\n" });
    }
  });

  test("an address that is none: status 74, and it is named", async () => {
    const run = await shop.run(["run", "-S", "tcplisten=example.org:80", server]);
    expect(run).toMatchObject({ status: 74, stderr: expect.stringContaining("example.org:80") });
  });
});

test("-W max-fds: the call that would open one more says MFILE", async () => {
  const opener = placeGuest(shop.work, "opener");
  expect((await shop.run(["run", "-W", "max-fds=6", "--dir", ".", opener])).stdout).toBe("0\n0\n33\n");
  const command = ["run", "--image", "limited", "-W", "max-fds=5", "--dir", ".", opener];
  const stopped = [...command.slice(0, 3), "--fail-at-call", "path_open:2", ...command.slice(3)];
  expect(await shop.run(stopped)).toMatchObject({ status: 85, stdout: "0\n" });
  expect((await shop.run(["resume", "limited"])).stdout).toBe("33\n");
});

describe("-W timeout", () => {
  const functions = placeGuest(shop.work, "functions");

  test("a guest that computes: status 124, saved, and the same command goes on", async () => {
    const command = ["run", "--image", "limit", "-W", "timeout=50ms", "--invoke", "spin", functions];
    const first = await shop.run(command);
    expect(first).toMatchObject({
      status: 124,
      stdout: "",
      stderr: expect.stringContaining("time limit: saved limit"),
    });
    let last = await shop.run(command);
    while (last.status === 124) last = await shop.run(command);
    expect(last).toMatchObject({ status: 0, stdout: "300000000\n" });
  });

  test("a guest that waits; resume takes a limit too; no limit: it ends", async () => {
    const cat = placeGuest(shop.work, "cat");
    const waiting: Running[] = [
      shop.start(["run", "--image", "waits", "-W", "timeout=100ms", cat]),
      shop.start(["run", "--image", "waits on", "-W", "timeout=10", cat], { input: "in time" }),
    ];
    const [late, inTime] = await Promise.all(waiting.map(({ ended }) => ended));
    expect(late?.status).toBe(124);
    expect(inTime).toMatchObject({ status: 0, stdout: "in time7\n" });
    expect((await shop.start(["resume", "-W", "timeout=100ms", "--json", "waits"]).ended).stderr).toContain(
      "time-limit",
    );
    expect(await shop.run(["resume", "waits"], { input: "x" })).toMatchObject({ status: 0, stdout: "x1\n" });
  });
});

describe("settings that are none: status 2", () => {
  test.each([
    [["run", "-W", "timeout=soon", "x.wasm"]],
    [["run", "-W", "timeout=0", "x.wasm"]],
    [["run", "-W", "max-fds=2", "x.wasm"]],
    [["run", "-W", "max-fds", "x.wasm"]],
    [["run", "-S", "tcplisten", "x.wasm"]],
    [["run", "-S", "cli,udplisten=1", "x.wasm"]],
    [["resume", "-W", "max-fds=9", "image"]],
    [["resume", "-S", "inherit-env", "image"]],
  ])("%j", async (args) => {
    expect(await shop.run(args)).toMatchObject({ status: 2, stdout: "" });
  });
});

/** Connects, as soon as somebody listens, sends a text and returns what comes back. */
async function exchange(address: string, text: string): Promise<string> {
  const target = address.startsWith("unix:")
    ? { path: address.slice("unix:".length) }
    : { host: "127.0.0.1", port: Number(address.split(":")[1]) };
  for (;;) {
    const answer = await new Promise<string | undefined>((resolve) => {
      let received = "";
      const socket: Socket = createConnection(target, () => socket.end(text));
      socket.setEncoding("utf8").on("data", (part: string) => {
        received += part;
      });
      socket.on("error", () => {});
      socket.on("close", (failed) => resolve(failed && received === "" ? undefined : received));
    });
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
