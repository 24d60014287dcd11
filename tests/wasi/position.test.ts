import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Errno } from "../../runtime/wasi/index.js";
import { APPEND, CREAT, TestGuest } from "./test-guest.js";

const [SET, CUR, END] = [0, 1, 2];

/** What each of two descriptors of one file is asked to do. */
type Step =
  | { readonly kind: "write"; readonly parts: readonly string[] }
  | { readonly kind: "read"; readonly lengths: readonly number[] }
  | { readonly kind: "seek"; readonly offset: number; readonly whence: number }
  | { readonly kind: "append"; readonly on: boolean }
  | { readonly kind: "resume" };

const steps: fc.Arbitrary<readonly (readonly [which: number, step: Step])[]> = fc.array(
  fc.tuple(
    fc.nat(1),
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant("write" as const),
          parts: fc.array(fc.string({ maxLength: 6, unit: fc.constantFrom("a", "b", "c") }), {
            minLength: 1,
            maxLength: 3,
          }),
        }),
      },
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant("read" as const),
          lengths: fc.array(fc.nat(6), { minLength: 1, maxLength: 3 }),
        }),
      },
      {
        weight: 5,
        arbitrary: fc.record({
          kind: fc.constant("seek" as const),
          offset: fc.integer({ min: -8, max: 24 }),
          whence: fc.nat(2),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("append" as const), on: fc.boolean() }) },
      { weight: 1, arbitrary: fc.constant({ kind: "resume" as const }) },
    ),
  ),
  { maxLength: 40 },
);

/** A file and two descriptors of it, as POSIX has them. */
class Model {
  content = Buffer.alloc(0);
  readonly #positions = [0, 0];
  readonly #appending = [false, false];

  write(which: number, bytes: Buffer): number {
    if (bytes.length === 0) return 0;
    const at = this.#appending[which] ? this.content.length : this.#positions[which]!;
    const next = Buffer.alloc(Math.max(this.content.length, at + bytes.length));
    this.content.copy(next);
    bytes.copy(next, at);
    this.content = next;
    this.#positions[which] = at + bytes.length;
    return bytes.length;
  }

  read(which: number, byteLength: number): string {
    const at = this.#positions[which]!;
    const bytes = this.content.subarray(at, at + byteLength);
    this.#positions[which] = at + bytes.length;
    return bytes.toString();
  }

  seek(which: number, offset: number, whence: number): bigint | number {
    const wanted = offset + [0, this.#positions[which]!, this.content.length][whence]!;
    if (wanted < 0) return -Errno.INVAL;
    this.#positions[which] = wanted;
    return BigInt(wanted);
  }

  append(which: number, on: boolean): void {
    this.#appending[which] = on;
  }
}

function writeParts(guest: TestGuest, fd: number, parts: readonly string[]): number {
  const out = guest.alloc(4);
  const iovecs = guest.iovecs(...parts.map((part) => guest.put(part)));
  expect(guest.call("fd_write", fd, iovecs, parts.length, out)).toBe(0);
  return guest.view.getUint32(out, true);
}

function readParts(guest: TestGuest, fd: number, lengths: readonly number[]): string {
  const out = guest.alloc(4);
  const ranges = lengths.map((length): [number, number] => [guest.alloc(length), length]);
  expect(guest.call("fd_read", fd, guest.iovecs(...ranges), ranges.length, out)).toBe(0);
  let left = guest.view.getUint32(out, true);
  return ranges
    .map(([pointer, length]) => {
      const part = Math.min(left, length);
      left -= part;
      return guest.text(pointer, part);
    })
    .join("");
}

describe("the position of a file", () => {
  test("two descriptors of one file do what a model does, also across resumes", () => {
    fc.assert(
      fc.property(steps, (all) => {
        using guest = new TestGuest();
        const model = new Model();
        const fds = [guest.open("file", { o: CREAT }), guest.open("file")];
        for (const [which, step] of all) {
          const fd = fds[which]!;
          guest.release();
          switch (step.kind) {
            case "write": {
              const bytes = Buffer.from(step.parts.join(""));
              expect(writeParts(guest, fd, step.parts)).toBe(model.write(which, bytes));
              break;
            }
            case "read": {
              const wanted = step.lengths.reduce((sum, length) => sum + length, 0);
              expect(readParts(guest, fd, step.lengths)).toBe(model.read(which, wanted));
              break;
            }
            case "seek":
              expect(guest.seek(fd, BigInt(step.offset), step.whence)).toBe(
                model.seek(which, step.offset, step.whence),
              );
              break;
            case "append":
              expect(guest.call("fd_fdstat_set_flags", fd, step.on ? APPEND : 0)).toBe(0);
              model.append(which, step.on);
              break;
            case "resume":
              guest.resume();
          }
          expect(readFileSync(join(guest.root, "file")).equals(model.content)).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("a number in place of a bigint: the same place", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    const out = guest.alloc(8);
    expect(guest.call("fd_seek", fd, 5, SET, out)).toBe(0);
    expect(guest.call("fd_seek", fd, 7, CUR, out)).toBe(0);
    expect(guest.view.getBigUint64(out, true)).toBe(12n);
    expect(guest.call("fd_pwrite", fd, guest.iovecs(guest.put("xyz")), 1, 2, out)).toBe(0);
    expect(readFileSync(join(guest.root, "file"), "latin1")).toBe("\0\0xyz");
    const pointer = guest.alloc(2);
    expect(guest.call("fd_pread", fd, guest.iovecs([pointer, 1], [pointer + 1, 1]), 2, 3, out)).toBe(0);
    expect(guest.text(pointer, 2)).toBe("yz");
  });

  test("far away and back: exact, and a place that cannot be leaves it where it is", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    expect(guest.seek(fd, 2n ** 31n - 1n, SET)).toBe(2n ** 31n - 1n);
    expect(guest.seek(fd, 1n, CUR)).toBe(2n ** 31n);
    expect(guest.seek(fd, -(2n ** 32n), CUR)).toBe(-Errno.INVAL);
    expect(guest.seek(fd, -(2n ** 31n), CUR)).toBe(0n);
    expect(guest.seek(fd, -1n, CUR)).toBe(-Errno.INVAL);
    expect(guest.seek(fd, -1n, SET)).toBe(-Errno.INVAL);
    expect(guest.seek(fd, -1n, END)).toBe(-Errno.INVAL);
    expect(guest.write(fd, "abc")).toBe(3);
    expect(guest.seek(fd, -1n, END)).toBe(2n);
    expect(guest.read(fd, 9)).toBe("c");
    expect(guest.seek(fd, 2n ** 63n - 1n, CUR)).toBe(-Errno.INVAL);
    expect(guest.seek(fd, 0n, CUR)).toBe(3n);
  });

  test("renumbered: it moves along", () => {
    using guest = new TestGuest();
    const [a, b] = [guest.open("a", { o: CREAT }), guest.open("b", { o: CREAT })];
    guest.seek(a, 4n, SET);
    guest.seek(b, 9n, SET);
    expect(guest.call("fd_renumber", a, b)).toBe(0);
    expect(guest.seek(b, 0n, CUR)).toBe(4n);
  });

  test("a file without a name, saved while open: the copy goes on at the same place", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    guest.write(fd, "0123456789");
    expect(guest.seek(fd, 4n, SET)).toBe(4n);
    expect(guest.call("path_unlink_file", 3, ...guest.put("file"))).toBe(0);
    const state = guest.save() as { descriptors: { number: number; place?: { kept?: string } }[] };
    const kept = state.descriptors.find(({ number }) => number === fd)?.place?.kept;
    expect(guest.wasi.observer.moveToKept(fd, `${kept}`)).toBe(true);
    expect(guest.read(fd, 3)).toBe("456");
    expect(guest.wasi.observer.positionOf(fd)).toBe(7);
    guest.wasi.observer.seek(fd, 1);
    expect(guest.read(fd, 3)).toBe("123");
  });

  test("poll_oneoff: what can be read is what follows", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    guest.write(fd, "0123456789");
    guest.seek(fd, 7n, SET);
    const subscription = guest.alloc(48);
    guest.view.setUint8(subscription + 8, 1); // fd_read
    guest.view.setUint32(subscription + 16, fd, true);
    const [events, out] = [guest.alloc(32), guest.alloc(4)];
    expect(guest.call("poll_oneoff", subscription, events, 1, out)).toBe(0);
    expect(guest.view.getBigUint64(events + 16, true)).toBe(3n);
  });
});
