import { describe, expect, test } from "vitest";
import { TestGuest } from "./test-guest.js";

describe("random_get", () => {
  /** Guard bytes around the range are checked by the guest. */
  function draw(guest: TestGuest, byteLength: number): string {
    const at = guest.alloc(byteLength);
    expect(guest.call("random_get", at, byteLength)).toBe(0);
    return Buffer.from(guest.memory.buffer, at, byteLength).toString("hex");
  }

  test("requests of every small size and some large ones: all bytes are filled, none come twice", () => {
    using guest = new TestGuest();
    const seen = new Set<string>();
    let zeros = 0;
    let drawn = 0;
    for (let round = 0; round < 20; round++) {
      for (const byteLength of [...Array.from({ length: 80 }, (_, i) => i), 1000, 5000]) {
        const hex = draw(guest, byteLength);
        for (let at = 0; at + 16 <= hex.length; at += 16) seen.add(hex.slice(at, at + 16));
        drawn += Math.floor(byteLength / 8);
        zeros += hex.match(/../g)?.filter((byte) => byte === "00").length ?? 0;
        guest.release();
      }
    }
    expect(seen.size).toBe(drawn);
    const bytes = 20 * (79 * 40 + 6000);
    expect(zeros).toBeGreaterThan(bytes / 512);
    expect(zeros).toBeLessThan(bytes / 128);
  });

  test("two processes from one saved state: each has its own bytes", () => {
    using guest = new TestGuest();
    draw(guest, 8); // whatever is kept for small requests is there when the state is saved
    const state = guest.save();
    const following = [1, 2].map(() => {
      guest.wasi.close();
      guest.restore(state);
      return draw(guest, 32);
    });
    expect(following[0]).not.toBe(following[1]);
  });
});
