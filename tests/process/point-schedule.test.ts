import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ControlBlock } from "../../runtime/process/control-block.js";
import { PointSchedule } from "../../runtime/process/point-schedule.js";

describe("the schedule of persistence points", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("nothing asked for: never", () => {
    const schedule = new PointSchedule(ControlBlock.create());
    schedule.begin({});
    vi.advanceTimersByTime(1e9);
    expect(schedule.isDue()).toBe(false);
    expect(schedule.isDueAtCall()).toBe(false);
  });

  test("a time: counted from the end of the point before, however long that took", () => {
    const schedule = new PointSchedule(ControlBlock.create());
    schedule.begin({ milliseconds: 100 });
    vi.advanceTimersByTime(99);
    expect(schedule.isDue()).toBe(false);
    vi.advanceTimersByTime(1);
    expect(schedule.isDue()).toBe(true);
    expect(schedule.isDueAtCall()).toBe(true);
    schedule.take();
    vi.advanceTimersByTime(250); // saving
    schedule.done();
    expect(schedule.isDue()).toBe(false);
    vi.advanceTimersByTime(100);
    expect(schedule.isDue()).toBe(true);
  });

  test("every third call: asked about once each", () => {
    const schedule = new PointSchedule(ControlBlock.create());
    schedule.begin({ hostCalls: 3 });
    for (let round = 0; round < 2; round++) {
      expect([1, 2, 3].map(() => schedule.isDueAtCall())).toEqual([false, false, true]);
      expect(schedule.isDue()).toBe(false);
      schedule.take();
      schedule.done();
    }
  });

  test("requests: one point answers all that came before it was taken, none that came later", () => {
    const control = ControlBlock.create();
    const schedule = new PointSchedule(control);
    schedule.begin({});
    control.requestPoint();
    const second = control.requestPoint();
    expect(schedule.isDue()).toBe(true);
    expect(schedule.isRequested).toBe(true);
    expect(schedule.take()).toBe(second);
    expect(schedule.isDue()).toBe(false);
    control.requestPoint(); // while the point is made
    schedule.done();
    expect(schedule.isDue()).toBe(true);
  });
});
