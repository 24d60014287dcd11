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

  test("calls are passed over while nothing can be due, and counted", () => {
    const control = ControlBlock.create();
    const schedule = new PointSchedule(control);
    schedule.begin({ hostCalls: 100 });
    let passed = 0;
    for (let call = 1; call <= 99; call++) {
      if (schedule.passesCall()) passed++;
      else expect(schedule.isDueAtCall()).toBe(false);
    }
    expect(passed).toBeGreaterThan(80);
    expect(schedule.hostCalls).toBe(99);
    expect(schedule.passesCall()).toBe(false);
    expect(schedule.isDueAtCall()).toBe(true);
  });

  test.each([
    ["a failure", (control: ControlBlock) => control.requestFailure()],
    ["a point asked for", (control: ControlBlock) => control.requestPoint()],
  ])("no call is passed over after %s", (_, request) => {
    const control = ControlBlock.create();
    const schedule = new PointSchedule(control);
    schedule.begin({});
    for (let call = 0; call < 1000; call++) if (!schedule.passesCall()) schedule.isDueAtCall();
    const passed = [1, 2].map(() => schedule.passesCall());
    expect(passed).toContain(true);
    request(control);
    expect([1, 2, 3].map(() => schedule.passesCall())).toEqual([false, false, false]);
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
