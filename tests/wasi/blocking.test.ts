import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Errno, RESTART } from "../../runtime/wasi/index.js";
import { CREAT, NONBLOCK, READ, TestGuest, WRITE } from "./test-guest.js";

const CLOCK_MONOTONIC = 1;
const MILLISECOND = 1_000_000n;
const HANGUP = 1;

type Subscription =
  | { readonly clock: number; readonly timeout: bigint; readonly absolute?: boolean }
  | { readonly read: number }
  | { readonly write: number };

/** The layout of docs.md#subscription; userdata is the index. */
function subscriptions(guest: TestGuest, list: readonly Subscription[]): number {
  const at = guest.alloc(list.length * 48);
  for (const [index, subscription] of list.entries()) {
    const entry = at + index * 48;
    guest.view.setBigUint64(entry, BigInt(index), true);
    if ("clock" in subscription) {
      guest.view.setUint32(entry + 16, subscription.clock, true);
      guest.view.setBigUint64(entry + 24, subscription.timeout, true);
      guest.view.setUint16(entry + 40, subscription.absolute ? 1 : 0, true);
    } else {
      guest.view.setUint8(entry + 8, "read" in subscription ? 1 : 2);
      guest.view.setUint32(entry + 16, "read" in subscription ? subscription.read : subscription.write, true);
    }
  }
  return at;
}

interface Event {
  readonly index: number;
  readonly error: number;
  readonly type: number;
  readonly available: bigint;
  readonly flags: number;
}

function poll(guest: TestGuest, list: readonly Subscription[]): Event[] | number {
  return pollAt(guest, subscriptions(guest, list), list.length, guest.alloc(list.length * 32), guest.alloc(4));
}

function pollAt(guest: TestGuest, at: number, count: number, events: number, out: number): Event[] | number {
  const error = guest.call("poll_oneoff", at, events, count, out);
  if (error !== 0) return error;
  return Array.from({ length: guest.view.getUint32(out, true) }, (_, index) => {
    const event = events + index * 32;
    return {
      index: Number(guest.view.getBigUint64(event, true)),
      error: guest.view.getUint16(event + 8, true),
      type: guest.view.getUint8(event + 10),
      available: guest.view.getBigUint64(event + 16, true),
      flags: guest.view.getUint16(event + 24, true),
    };
  });
}

/** A named pipe that both ends of are open somewhere: descriptors for the test. */
function pipe(guest: TestGuest, name: string): { path: string; reader: number; writer: number } {
  const path = join(guest.outside, name);
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { path, reader, writer: openSync(path, constants.O_WRONLY) };
}

function guestWithPipes(): TestGuest & { stdin: ReturnType<typeof pipe>; stdout: ReturnType<typeof pipe> } {
  const guest = new TestGuest();
  const stdin = pipe(guest, "stdin");
  const stdout = pipe(guest, "stdout");
  const stdio: [number, number, number] = [openSync(stdin.path, constants.O_RDONLY), stdout.writer, -1];
  const state = guest.save();
  guest.wasi.close();
  guest.restore(state, { stdio });
  return Object.assign(guest, { stdin, stdout });
}

describe("a pipe as stdin", () => {
  test("what is there, then a wait, then the end", () => {
    using guest = guestWithPipes();
    writeSync(guest.stdin.writer, "now");
    expect(guest.read(0, 10)).toBe("now");
    const child = spawn("sh", ["-c", `sleep 0.1; printf later > ${guest.stdin.path}`], { stdio: "ignore" });
    expect(child.pid).toBeDefined();
    expect(guest.read(0, 10)).toBe("later");
    closeSync(guest.stdin.writer);
    expect(guest.read(0, 10)).toBe("");
  });

  test("a failure while it waits: RESTART, and nothing is lost", () => {
    using guest = guestWithPipes();
    guest.fail();
    expect(guest.read(0, 10)).toBe("RESTART");
    writeSync(guest.stdin.writer, "kept");
    guest.resume();
    expect(guest.read(0, 10)).toBe("kept");
  });

  test("non-blocking: AGAIN, and the host's descriptor stays blocking", () => {
    using guest = guestWithPipes();
    expect(guest.call("fd_fdstat_set_flags", 0, NONBLOCK)).toBe(0);
    expect(guest.read(0, 10)).toBe(-Errno.AGAIN);
    expect(guest.fdstat(0).flags).toBe(NONBLOCK);
    const flags = readFileSync(`/proc/self/fdinfo/${guest.options.stdio[0]}`, "utf8");
    expect(Number.parseInt(/flags:\s*(\d+)/.exec(flags)?.[1] ?? "", 8) & constants.O_NONBLOCK).toBe(0);
    guest.resume();
    expect(guest.read(0, 10)).toBe(-Errno.AGAIN);
  });

  test("a wake-up left over from an earlier failure does not spin", () => {
    using guest = guestWithPipes();
    guest.fail();
    guest.failurePending = false; // the flag was taken back, the descriptor not read
    const child = spawn("sh", ["-c", `sleep 0.1; printf x > ${guest.stdin.path}`], { stdio: "ignore" });
    expect(child.pid).toBeDefined();
    const before = process.cpuUsage();
    expect(guest.read(0, 1)).toBe("x");
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(60_000);
  });
});

describe("a full pipe as stdout", () => {
  test("a failure in the middle of a write: the rest, and only the rest, follows", () => {
    using guest = guestWithPipes();
    const content = Buffer.alloc(150_000, "abcdefghij");
    const iovecs = guest.iovecs(guest.put(content.subarray(0, 100_000)), guest.put(content.subarray(100_000)));
    const out = guest.alloc(4);
    guest.failurePending = true; // a pipe takes 64 KiB; then the call would wait
    expect(guest.call("fd_write", 1, iovecs, 2, out)).toBe(RESTART);
    guest.resume();
    const received = drain(guest.stdout.reader);
    const reader = spawn(
      "sh",
      ["-c", `head -c ${content.length - received.length} < ${guest.stdout.path} > ${guest.root}/rest`],
      {
        stdio: "ignore",
      },
    );
    expect(reader.pid).toBeDefined();
    expect(guest.call("fd_write", 1, iovecs, 2, out)).toBe(0);
    expect(guest.view.getUint32(out, true)).toBe(content.length);
    execFileSync("sh", [
      "-c",
      `while kill -0 ${reader.pid} 2>/dev/null && [ "$(ps -o stat= -p ${reader.pid})" != Z ]; do sleep 0.02; done`,
    ]);
    expect(Buffer.concat([received, readFileSync(join(guest.root, "rest"))]).equals(content)).toBe(true);
  });

  test("a failure in the middle, then a regular file in the pipe's place: it gets the rest, and only the rest", () => {
    for (const buffers of [1, 2]) {
      using guest = guestWithPipes();
      const content = Buffer.alloc(150_000, "abcdefghij");
      const at = guest.put(content);
      const halves = [at[0], 70_000, at[0] + 70_000, 80_000];
      const iovecs =
        buffers === 1 ? guest.iovecs(at) : guest.iovecs([halves[0]!, halves[1]!], [halves[2]!, halves[3]!]);
      const out = guest.alloc(4);
      guest.failurePending = true;
      expect(guest.call("fd_write", 1, iovecs, buffers, out)).toBe(RESTART);
      const file = join(guest.outside, "file");
      guest.resume({ stdio: [-1, openSync(file, "w"), -1] });
      const received = drain(guest.stdout.reader);
      expect(guest.call("fd_write", 1, iovecs, buffers, out)).toBe(0);
      expect(guest.view.getUint32(out, true)).toBe(content.length);
      expect(Buffer.concat([received, readFileSync(file)]).equals(content)).toBe(true);
      expect(guest.write(1, "next")).toBe(4);
      expect(readFileSync(file, "utf8").endsWith("jnext")).toBe(true);
    }
  });

  test("told of the interruption: a write that was partly done returns what it had written, one that was not INTR", () => {
    using guest = guestWithPipes();
    const iovecs = guest.iovecs(guest.put(Buffer.alloc(100_000)));
    const out = guest.alloc(4);
    guest.failurePending = true;
    expect(guest.call("fd_write", 1, iovecs, 1, out)).toBe(RESTART);
    guest.resume();
    expect(guest.wasi.interruptedResult("fd_write", [1, iovecs, 1, out])).toBe(0);
    expect(guest.view.getUint32(out, true)).toBe(65536);
    expect(guest.wasi.interruptedResult("fd_write", [1, iovecs, 1, out])).toBe(Errno.INTR);
    expect(guest.wasi.interruptedResult("fd_read", [0, iovecs, 1, -1])).toBe(Errno.INTR);
  });

  test("non-blocking: a short count, then AGAIN", () => {
    using guest = guestWithPipes();
    guest.call("fd_fdstat_set_flags", 1, NONBLOCK);
    expect(guest.write(1, Buffer.alloc(100_000))).toBe(65536);
    expect(guest.write(1, "x")).toBe(-Errno.AGAIN);
  });

  test("nobody reads any more: PIPE", () => {
    using guest = guestWithPipes();
    closeSync(guest.stdout.reader);
    expect(guest.write(1, "x")).toBe(-Errno.PIPE);
  });
});

function drain(descriptor: number): Buffer {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.alloc(65536);
    try {
      const byteLength = readSync(descriptor, chunk);
      if (byteLength === 0) break;
      chunks.push(chunk.subarray(0, byteLength));
    } catch {
      break; // EAGAIN: empty
    }
  }
  return Buffer.concat(chunks);
}

describe("a named pipe that the guest opens", () => {
  test("reading waits for a writer, then for data; opening does not hang", () => {
    using guest = new TestGuest();
    execFileSync("mkfifo", [join(guest.root, "fifo")]);
    const fd = guest.open("fifo", { rights: READ });
    expect(fd).toBeGreaterThan(3);
    guest.fail();
    expect(guest.read(fd, 10)).toBe("RESTART");
    guest.resume();
    const child = spawn("sh", ["-c", `sleep 0.1; printf data > ${guest.root}/fifo`], { stdio: "ignore" });
    expect(child.pid).toBeDefined();
    expect(guest.read(fd, 10)).toBe("data");
  });

  test("opening for writing waits for a reader, and can be interrupted", () => {
    using guest = new TestGuest();
    execFileSync("mkfifo", [join(guest.root, "fifo")]);
    expect(guest.open("fifo", { rights: WRITE, fd: NONBLOCK })).toBe(-Errno.NXIO);
    guest.failurePending = true;
    expect(guest.open("fifo", { rights: WRITE })).toBe(-RESTART);
    guest.failurePending = false;
    const child = spawn("sh", ["-c", `sleep 0.1; cat ${guest.root}/fifo > /dev/null`], { stdio: "ignore" });
    expect(child.pid).toBeDefined();
    expect(guest.open("fifo", { rights: WRITE })).toBeGreaterThan(3);
  });
});

describe("poll_oneoff", () => {
  test("a relative sleep lasts as long as it should, without using the processor", () => {
    using guest = new TestGuest();
    const before = guest.now(CLOCK_MONOTONIC);
    const cpu = process.cpuUsage();
    expect(poll(guest, [{ clock: CLOCK_MONOTONIC, timeout: 50n * MILLISECOND }])).toMatchObject([
      { index: 0, type: 0 },
    ]);
    const slept = guest.now(CLOCK_MONOTONIC) - before;
    expect(slept).toBeGreaterThanOrEqual(50n * MILLISECOND);
    expect(slept).toBeLessThan(500n * MILLISECOND);
    const { user, system } = process.cpuUsage(cpu);
    expect(user + system).toBeLessThan(40_000);
  });

  test("absolute deadlines on both clocks; one that has passed returns at once", () => {
    using guest = new TestGuest();
    for (const clock of [0, 1]) {
      const deadline = guest.now(clock) + 20n * MILLISECOND;
      expect(poll(guest, [{ clock, timeout: deadline, absolute: true }])).toHaveLength(1);
      expect(guest.now(clock)).toBeGreaterThanOrEqual(deadline);
      expect(poll(guest, [{ clock, timeout: 1n, absolute: true }])).toHaveLength(1);
    }
  });

  test("an interrupted sleep goes on with the time left", () => {
    using guest = new TestGuest();
    const at = subscriptions(guest, [{ clock: CLOCK_MONOTONIC, timeout: 150n * MILLISECOND }]);
    const [events, out] = [guest.alloc(32), guest.alloc(4)];
    const before = guest.now(CLOCK_MONOTONIC);
    // Fails after 60 ms of the guest's time, whatever the wake descriptor says before.
    guest.wasi.bind({
      memory: guest.memory,
      memoryAddress: 0,
      failurePending: () => true,
      wakeDescriptor: -1,
    });
    expect(guest.call("poll_oneoff", at, events, 1, out)).toBe(RESTART);
    const state = guest.save();
    execFileSync("sleep", ["0.3"]); // the guest's clock stands still
    guest.wasi.close();
    guest.restore(state);
    execFileSync("sleep", ["0.1"]);
    expect(guest.now(CLOCK_MONOTONIC) - before).toBeLessThan(250n * MILLISECOND);
    expect(pollAt(guest, at, 1, events, out)).toHaveLength(1);
    const total = guest.now(CLOCK_MONOTONIC) - before;
    expect(total).toBeGreaterThanOrEqual(150n * MILLISECOND);
    expect(total).toBeLessThan(240n * MILLISECOND); // not 250: the 100 ms before the second call count
  });

  test("another sleep in between, as a SIGPWR handler may have, leaves the first one alone", () => {
    using guest = new TestGuest();
    const first = subscriptions(guest, [{ clock: CLOCK_MONOTONIC, timeout: 60n * MILLISECOND }]);
    const [events, out] = [guest.alloc(32), guest.alloc(4)];
    const before = guest.now(CLOCK_MONOTONIC);
    guest.failurePending = true;
    expect(guest.call("poll_oneoff", first, events, 1, out)).toBe(RESTART);
    guest.resume();
    expect(poll(guest, [{ clock: CLOCK_MONOTONIC, timeout: 50n * MILLISECOND }])).toHaveLength(1);
    expect(pollAt(guest, first, 1, events, out)).toHaveLength(1);
    expect(guest.now(CLOCK_MONOTONIC) - before).toBeLessThan(100n * MILLISECOND);
  });

  test("told EINTR: the next sleep at the same address is a new one", () => {
    using guest = new TestGuest();
    const at = subscriptions(guest, [{ clock: CLOCK_MONOTONIC, timeout: 40n * MILLISECOND }]);
    const [events, out] = [guest.alloc(32), guest.alloc(4)];
    guest.failurePending = true;
    expect(guest.call("poll_oneoff", at, events, 1, out)).toBe(RESTART);
    guest.resume();
    execFileSync("sleep", ["0.05"]);
    expect(guest.wasi.interruptedResult("poll_oneoff", [at, events, 1, out])).toBe(Errno.INTR);
    const before = guest.now(CLOCK_MONOTONIC);
    expect(pollAt(guest, at, 1, events, out)).toHaveLength(1);
    expect(guest.now(CLOCK_MONOTONIC) - before).toBeGreaterThanOrEqual(40n * MILLISECOND);
  });

  test("files are ready at once, with what is left of them; a pipe when it has something", () => {
    using guest = guestWithPipes();
    writeFileSync(join(guest.root, "file"), "0123456789");
    const fd = guest.open("file");
    guest.seek(fd, 4n, 0);
    expect(poll(guest, [{ read: fd }, { write: fd }, { read: 0 }])).toMatchObject([
      { index: 0, error: 0, type: 1, available: 6n, flags: 0 },
      { index: 1, error: 0, type: 2 },
    ]);
    guest.seek(fd, 10n, 0);
    expect(poll(guest, [{ read: fd }])).toMatchObject([{ available: 0n, flags: HANGUP }]);
    expect(poll(guest, [{ read: 0 }, { clock: CLOCK_MONOTONIC, timeout: 10n * MILLISECOND }])).toMatchObject([
      { index: 1, type: 0 },
    ]);
    writeSync(guest.stdin.writer, "abc");
    expect(poll(guest, [{ clock: CLOCK_MONOTONIC, timeout: 10_000n * MILLISECOND }, { read: 0 }])).toMatchObject([
      { index: 1, type: 1, available: 3n, flags: 0 },
    ]);
    closeSync(guest.stdin.writer);
    guest.read(0, 10);
    expect(poll(guest, [{ read: 0 }])).toMatchObject([{ index: 0, flags: HANGUP }]);
  });

  test("a descriptor that is not open: an event that says so, beside what happened", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    expect(poll(guest, [{ read: 99 }, { write: fd }, { read: 3 }])).toMatchObject([
      { index: 0, error: Errno.BADF },
      { index: 1, error: 0 },
      { index: 2, error: Errno.BADF },
    ]);
  });

  test("nothing, nonsense, and too much: INVAL or FAULT", () => {
    using guest = new TestGuest();
    const at = subscriptions(guest, [{ clock: 2, timeout: 1n }]);
    const [events, out] = [guest.alloc(32), guest.alloc(4)];
    expect(guest.call("poll_oneoff", at, events, 0, out)).toBe(Errno.INVAL);
    expect(guest.call("poll_oneoff", at, events, 1, out)).toBe(Errno.INVAL);
    guest.view.setUint8(at + 8, 9);
    expect(guest.call("poll_oneoff", at, events, 1, out)).toBe(Errno.INVAL);
    expect(guest.call("poll_oneoff", 0, 0, 70_000, out)).toBe(Errno.INVAL);
    expect(guest.call("poll_oneoff", 0, 0, 1_000_000, out)).toBe(Errno.FAULT);
    expect(guest.call("poll_oneoff", at, -32, 1, out)).toBe(Errno.FAULT);
    expect(guest.call("poll_oneoff", at, events, 1, -4)).toBe(Errno.FAULT);
  });

  test("a timeout of 2^64 - 1 waits, until a failure", () => {
    using guest = new TestGuest();
    guest.fail();
    expect(poll(guest, [{ clock: CLOCK_MONOTONIC, timeout: 2n ** 64n - 1n }])).toBe(RESTART);
  });
});
