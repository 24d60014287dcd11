import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { writeTimestamp } from "../../runtime/wasi/memory.js";

function written(seconds: number, nanoseconds: number): bigint {
  const view = new DataView(new ArrayBuffer(24));
  view.setBigUint64(0, 2n ** 64n - 1n);
  view.setBigUint64(16, 2n ** 64n - 1n);
  writeTimestamp(view, 8, seconds, nanoseconds);
  expect(view.getBigUint64(0) === 2n ** 64n - 1n && view.getBigUint64(16) === 2n ** 64n - 1n).toBe(true);
  return view.getBigUint64(8, true);
}

describe("writeTimestamp", () => {
  test("every time until 2554: exact", () => {
    // 2^64 ns are 18,446,744,073 s and a part of one.
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 18_446_744_072 }), fc.integer({ min: 0, max: 999_999_999 }), (s, ns) => {
        expect(written(s, ns)).toBe(BigInt(s) * 1_000_000_000n + BigInt(ns));
      }),
      { numRuns: 20_000 },
    );
  });

  test("a carry into the upper half: exact", () => {
    for (let s = 0; s < 5000; s++) {
      const lower = Number((BigInt(s) * 1_000_000_000n) % 2n ** 32n);
      const ns = 2 ** 32 - lower;
      for (const near of [ns - 1, ns, ns + 1]) {
        if (near < 0 || near > 999_999_999) continue;
        expect(written(s, near)).toBe(BigInt(s) * 1_000_000_000n + BigInt(near));
      }
    }
  });

  test("before 1970: 0", () => {
    expect(written(-1, 999_999_999)).toBe(0n);
  });
});
