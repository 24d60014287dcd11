import { hrtime } from "node:process";
import { describe, expect, test } from "vitest";
import { RealTime } from "../../runtime/wasi/real-time.js";
import { TestGuest } from "./test-guest.js";

/** A system's clock that can be set: always that far from the monotonic one. */
class SystemClock {
  difference = 1_700_000_000_123_456_789n;
  asked = 0;

  now(): bigint {
    this.asked++;
    return hrtime.bigint() + this.difference;
  }
}

const view = new DataView(new ArrayBuffer(8));

function read(time: RealTime): bigint {
  time.write(view, 0);
  return view.getBigUint64(0, true);
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

describe("real time", () => {
  test("is never ahead of the system's, and never goes back", () => {
    const system = new SystemClock();
    const time = new RealTime(() => system.now());
    let last = 0n;
    for (let i = 0; i < 200_000; i++) {
      const now = read(time);
      const systems = hrtime.bigint() + system.difference;
      if (now < last || now > systems) throw new Error(`${last}, then ${now}; the system's: ${systems}`);
      last = now;
    }
    const difference = last - (hrtime.bigint() + system.difference);
    expect(difference).toBeGreaterThan(-50_000_000n); // a look that was interrupted is that far behind
  });

  test("asks the system about every millisecond, not each time", () => {
    const system = new SystemClock();
    const time = new RealTime(() => system.now());
    const before = performance.now();
    for (let i = 0; i < 100_000; i++) read(time);
    const took = performance.now() - before;
    expect(system.asked).toBeGreaterThan(0);
    expect(system.asked).toBeLessThanOrEqual(took + 2);
  });

  test.each([-3_600_000_000_000n, -5_000_000n, 5_000_000n, 2_000_000_000n])(
    "a clock that is set by %s ns is seen a millisecond later",
    (step) => {
      const system = new SystemClock();
      const time = new RealTime(() => system.now());
      read(time);
      system.difference += step;
      let behind = 0n;
      for (let attempt = 0; attempt < 20; attempt++) {
        pause(2);
        const now = read(time);
        behind = hrtime.bigint() + system.difference - now;
        expect(behind).toBeGreaterThanOrEqual(0n);
        if (behind < 1_000_000n) break; // otherwise the machine was busy with something else
      }
      expect(behind).toBeLessThan(1_000_000n);
    },
  );

  test("is the host's", () => {
    using guest = new TestGuest();
    const before = BigInt(Date.now()) * 1_000_000n;
    const now = guest.now(0);
    const after = BigInt(Date.now() + 1) * 1_000_000n;
    expect(now > before - 1_000_000n && now < after).toBe(true);
  });
});
