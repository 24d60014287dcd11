import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Errno, RESTART, Wasi } from "../../runtime/wasi/index.js";
import { NONBLOCK, TestGuest } from "./test-guest.js";

/** A client in another process: our calls block this one. It sends, waits for `expected` bytes, and writes them to a file. */
function client(guest: TestGuest, address: string, send: string, expected: number): () => Promise<string> {
  const path = join(guest.outside, "client.mjs");
  const target = address.startsWith("unix:")
    ? JSON.stringify({ path: address.slice(5) })
    : JSON.stringify({ host: "127.0.0.1", port: Number(address.split(":").at(-1)) });
  writeFileSync(
    path,
    `import { createConnection } from "node:net";
     import { writeFileSync } from "node:fs";
     let received = "";
     const socket = createConnection(${target}, () => socket.write(${JSON.stringify(send)}));
     socket.on("data", (chunk) => { received += chunk; if (received.length >= ${expected}) socket.end(() => socket.destroy()); });
     socket.on("error", (error) => { received += error.code; });
     socket.on("close", () => writeFileSync(${JSON.stringify(`${path}.out`)}, received));`,
  );
  const child = spawn(process.execPath, [path], { stdio: "inherit" });
  const exited = new Promise((resolve) => child.on("exit", resolve));
  return async () => {
    await exited;
    return readFileSync(`${path}.out`, "utf8");
  };
}

function portOf(guest: TestGuest): number {
  const saved = guest.save() as { descriptors: { kind: string; port: number }[] };
  return saved.descriptors.find(({ kind }) => kind === "listener")!.port;
}

function accept(guest: TestGuest, listener = 3): number {
  const out = guest.alloc(4);
  const error = guest.call("sock_accept", listener, 0, out);
  return error === 0 ? guest.view.getUint32(out, true) : error === RESTART ? RESTART : -error;
}

function receive(guest: TestGuest, fd: number, byteLength: number, flags = 0): string | number {
  const buffer = guest.alloc(byteLength);
  const [length, roflags] = [guest.alloc(4), guest.alloc(2)];
  const error = guest.call("sock_recv", fd, guest.iovecs([buffer, byteLength]), 1, flags, length, roflags);
  return error === 0 ? guest.text(buffer, guest.view.getUint32(length, true)) : -error;
}

function send(guest: TestGuest, fd: number, text: string): number {
  const out = guest.alloc(4);
  const error = guest.call("sock_send", fd, guest.iovecs(guest.put(text)), 1, 0, out);
  return error === 0 ? guest.view.getUint32(out, true) : -error;
}

describe.each(["tcp", "unix"])("a listening %s socket", (family) => {
  test("accepts, receives, sends, shuts down; listens again after a resume", async () => {
    const directory = mkdtempSync(join(tmpdir(), "vermilion-sock-"));
    using guest = new TestGuest({
      listen: [family === "tcp" ? "127.0.0.1:0" : `unix:${join(directory, "socket")}`],
    });
    const address = () => (family === "tcp" ? `127.0.0.1:${portOf(guest)}` : guest.options.listen![0]!);
    expect(guest.fdstat(3)).toMatchObject({ filetype: 6 });
    // Guests look for preopened directories from 3 on, until BADF.
    const prestat = guest.alloc(8);
    expect(guest.call("fd_prestat_get", 3, prestat)).toBe(0);
    expect(guest.view.getUint8(prestat)).not.toBe(0);
    expect(guest.call("fd_prestat_get", 4, prestat)).toBe(0);
    expect(guest.view.getUint8(prestat)).toBe(0);

    const first = client(guest, address(), "hello, guest", 5);
    const fd = accept(guest);
    expect(fd).toBe(5);
    expect(receive(guest, fd, 5, 1)).toBe("hello"); // PEEK
    expect(receive(guest, fd, 12, 2)).toBe("hello, guest"); // WAITALL
    expect(send(guest, fd, "hello")).toBe(5);
    expect(await first()).toBe("hello");
    expect(receive(guest, fd, 10)).toBe("");
    expect(guest.call("sock_shutdown", fd, 2)).toBe(0);
    expect(send(guest, fd, "x")).toBe(-Errno.PIPE);

    const before = address();
    guest.resume();
    expect(address()).toBe(before);
    expect(receive(guest, fd, 10)).toBe(-Errno.CONNRESET);
    expect(receive(guest, fd, 10)).toBe("");
    expect(send(guest, fd, "x")).toBe(-Errno.PIPE);
    expect(guest.call("fd_close", fd)).toBe(0);
    const second = client(guest, address(), "again", 3);
    const next = accept(guest);
    expect(guest.read(next, 10)).toBe("again");
    expect(guest.write(next, "yes")).toBe(3);
    expect(await second()).toBe("yes");
    rmSync(directory, { recursive: true });
  });

  test("waiting for a connection can be interrupted; NONBLOCK does not wait", () => {
    using guest = new TestGuest({ listen: ["127.0.0.1:0"] });
    guest.fail();
    expect(accept(guest)).toBe(RESTART);
    guest.resume();
    expect(guest.call("fd_fdstat_set_flags", 3, NONBLOCK)).toBe(0);
    expect(accept(guest)).toBe(-Errno.AGAIN);
    guest.resume();
    expect(accept(guest)).toBe(-Errno.AGAIN);
  });
});

describe("sock_* on what is no socket", () => {
  test("NOTSOCK, or BADF", () => {
    using guest = new TestGuest();
    for (const fd of [0, 1, 3]) {
      expect(accept(guest, fd)).toBe(-Errno.NOTSOCK);
      expect(receive(guest, fd, 1)).toBe(-Errno.NOTSOCK);
      expect(send(guest, fd, "x")).toBe(-Errno.NOTSOCK);
      expect(guest.call("sock_shutdown", fd, 1)).toBe(Errno.NOTSOCK);
    }
    expect(accept(guest, 9)).toBe(-Errno.BADF);
  });
});

describe("listening addresses", () => {
  test.each(["", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "example.org:80", "unix:", "[::1%lo]:0"])(
    "%s: LISTEN_ADDRESS",
    (address) => {
      using guest = new TestGuest();
      expect(() => Wasi.create({ ...guest.options, listen: [address] })).toThrow(
        expect.objectContaining({ code: "LISTEN_ADDRESS" }),
      );
    },
  );

  test("unix: what is no socket is somebody's file, and stays; a socket that nobody answers is replaced", () => {
    const directory = mkdtempSync(join(tmpdir(), "vermilion-sock-"));
    using guest = new TestGuest();
    const path = join(directory, "name");
    const tried = () => Wasi.tryOut({ ...guest.options, listen: [`unix:${path}`] });
    const taken = expect.objectContaining({ code: "LISTEN_ADDRESS" });
    writeFileSync(path, "precious");
    expect(tried).toThrow(taken);
    expect(readFileSync(path, "utf8")).toBe("precious");
    rmSync(path);
    symlinkSync("elsewhere", path);
    expect(tried).toThrow(taken);
    expect(readlinkSync(path)).toBe("elsewhere");
    rmSync(path);
    tried();
    tried(); // it has left a socket
    rmSync(directory, { recursive: true });
  });

  test("one that is taken: LISTEN_ADDRESS; IPv6 works", () => {
    using guest = new TestGuest({ listen: ["127.0.0.1:0"] });
    const listen = [`127.0.0.1:${portOf(guest)}`];
    expect(() => Wasi.create({ ...guest.options, listen })).toThrow(
      expect.objectContaining({ code: "LISTEN_ADDRESS" }),
    );
    Wasi.create({ ...guest.options, listen: ["[::1]:0"] }).close();
  });
});
