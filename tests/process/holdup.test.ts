import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HoldupEnergy, type Outcome, Process } from "vermilion";
import { afterAll, describe, expect, test } from "vitest";
import { placeGuest } from "../support/guests.js";

const directory = mkdtempSync(join(tmpdir(), "vermilion-holdup-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const module = placeGuest(directory, "counter");

/** A run of the same process that is stopped at the nth host call, with so much energy for the save. */
async function runTo(image: string, ordinal: number, holdup?: HoldupEnergy) {
  const guest = await Process.create({
    ...{ module, image: join(directory, image), stdio: [-1, -1, 2] as const, holdup, ifUnfinished: "resume" as const },
  });
  const { resumes } = guest;
  const outcome: Outcome = await guest.run({ failure: { atCall: { name: "fd_write", ordinal, when: "before" } } });
  await guest.close();
  return { resumes, outcome };
}

const bytes = (count: number): HoldupEnergy => ({ milliseconds: 1000, bytesPerSecond: count });

describe("hold-up energy", () => {
  test("enough: a save like any other", async () => {
    const { outcome } = await runTo("enough", 3, { milliseconds: 16, bytesPerSecond: 2e9 });
    expect(outcome).toMatchObject({ kind: "powerFailed", epoch: 1 });
    expect(outcome).not.toHaveProperty("cut");
  });

  test("a save that does not fit: the epoch before is what is left, wherever it is cut", async () => {
    await runTo("cut", 3);
    const { outcome: whole } = await runTo("cut", 2, bytes(1));
    expect(whole).toMatchObject({ kind: "powerFailed", epoch: 1, cut: { heldByteLength: 1 } });
    const needed = whole.kind === "powerFailed" ? (whole.cut?.neededByteLength ?? 0) : 0;
    expect(needed).toBeGreaterThan(4096);
    // Clocks are part of it, as text: a run more or less is some bytes longer.
    for (const held of [0, Math.floor(needed / 2), needed - 513, needed - 20]) {
      const { resumes, outcome } = await runTo("cut", 2, bytes(held));
      expect(resumes, `${held} bytes`).toMatchObject({ epoch: 1 });
      expect(outcome, `${held} bytes`).toMatchObject({ epoch: 1, cut: { heldByteLength: held } });
    }
    const { resumes, outcome } = await runTo("cut", 2, bytes(needed + 200));
    expect(resumes).toMatchObject({ epoch: 1 });
    expect(outcome).toMatchObject({ kind: "powerFailed", epoch: 2 });
    expect((await runTo("cut", 1)).resumes).toMatchObject({ epoch: 2 });
  });

  test("the first save of all: nothing is left, and the next run begins", async () => {
    const { outcome } = await runTo("first", 3, bytes(100));
    expect(outcome).toMatchObject({ kind: "powerFailed", epoch: 0, cut: { heldByteLength: 100 } });
    const again = await runTo("first", 3);
    expect(again.resumes).toBeUndefined();
    expect(again.outcome).toMatchObject({ kind: "powerFailed", epoch: 1 });
  });
});
