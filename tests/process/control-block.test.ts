import { closeSync, readSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { libc } from "../../pmem/libc.js";
import { ControlBlock } from "../../runtime/process/control-block.js";

describe("control block", () => {
  test("a failure before the guest has begun: it never begins", () => {
    const main = ControlBlock.create();
    const worker = ControlBlock.over(main.buffer);
    expect(worker.failurePending).toBe(false);
    expect(main.requestFailure()).toBe(true);
    expect(worker.failurePending).toBe(true);
    expect(worker.beginRunning()).toBe(false);
    expect(main.requestFailure()).toBe(false);
  });

  test("cancelled while it may be cut short: it learns of that when it leaves, whoever was first", () => {
    const main = ControlBlock.create();
    const worker = ControlBlock.over(main.buffer);
    worker.enterInterruptible();
    expect(main.interruptible).toBe(true);
    expect(worker.leaveInterruptible()).toBe(false);
    expect(main.interruptible).toBe(false);
    main.requestFailure();
    worker.enterInterruptible();
    expect(worker.leaveInterruptible()).toBe(true);
  });

  test("a failure while it runs: pending, and the event wakes whoever polls", () => {
    const main = ControlBlock.create();
    const worker = ControlBlock.over(main.buffer);
    const event = libc().createEvent();
    worker.setWakeDescriptor(event);
    expect(worker.beginRunning()).toBe(true);
    expect(main.requestFailure()).toBe(false);
    expect(worker.failurePending).toBe(true);
    const count = Buffer.alloc(8);
    expect(readSync(event, count)).toBe(8);
    expect(count.readBigUInt64LE()).toBe(1n);
    closeSync(event);
  });

  test("requests for a point: counted, no failure, and the event wakes whoever polls", () => {
    const main = ControlBlock.create();
    const worker = ControlBlock.over(main.buffer);
    expect(main.requestPoint()).toBe(1); // nobody to wake yet
    const event = libc().createEvent();
    worker.setWakeDescriptor(event);
    expect(worker.beginRunning()).toBe(true);
    expect(worker.pointsRequested).toBe(1);
    expect(main.requestPoint()).toBe(2);
    expect(worker.pointsRequested).toBe(2);
    expect(worker.failurePending).toBe(false);
    expect(readSync(event, Buffer.alloc(8))).toBe(8);
    closeSync(event);
  });

  test("a failure before there is an event: pending for the worker's first look", () => {
    const main = ControlBlock.create();
    const worker = ControlBlock.over(main.buffer);
    expect(worker.beginRunning()).toBe(true);
    main.requestFailure();
    const event = libc().createEvent();
    worker.setWakeDescriptor(event);
    expect(worker.failurePending).toBe(true);
    closeSync(event);
  });

  test("C9: a worker that waits no longer, before the main thread looks: the engine is left alone", () => {
    const main = ControlBlock.create();
    const worker = ControlBlock.over(main.buffer);
    worker.requestOptimizing(1);
    expect(worker.cancelOptimizing(1)).toBe(true);
    let changed = false;
    expect(main.beginOptimizing(1, () => (changed = true))).toBe(false);
    expect(changed).toBe(false);
  });

  test("C9: a worker that waits no longer, while it is compiled: it learns that the engine is changed", () => {
    const main = ControlBlock.create();
    const worker = ControlBlock.over(main.buffer);
    worker.requestOptimizing(1);
    expect(main.beginOptimizing(1, () => {})).toBe(true);
    expect(worker.cancelOptimizing(1)).toBe(false);
    worker.requestOptimizing(2);
    main.endOptimizing(); // of the first
    expect(main.beginOptimizing(2, () => {})).toBe(true);
    main.endOptimizing();
    expect(main.beginOptimizing(2, () => {})).toBe(false);
  });
});
