import { describe, expect, test } from "vitest";
import { Random } from "./random.js";
import { SignalTiming } from "./signal-timing.js";

describe("SignalTiming", () => {
  test("a machine whose load changes tenfold, and back: signals go on meeting the program", () => {
    const timing = new SignalTiming(new Random(7), 400);
    for (const slowness of [1, 10, 1, 3]) {
      const [begins, ends] = [200 * slowness, 300 * slowness];
      let met = 0;
      for (let signal = 0; signal < 200; signal++) {
        const delay = timing.pick();
        const what = delay < begins ? "start" : delay < ends ? "program" : "end";
        timing.learn(delay, what);
        if (what === "program") met++;
      }
      expect(met, `${slowness} times slower`).toBeGreaterThan(20);
    }
  });
});
