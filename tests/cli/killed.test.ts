import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Workshop } from "../support/command-line.js";
import { placeGuest } from "../support/guests.js";

/** SIGKILL shows what the death of a process leaves; power cuts are tested in tests/process/image. */

const shop = new Workshop();
afterAll(() => shop.remove());

const churn = placeGuest(shop.work, "churn");
let expected: string;
/** Milliseconds of an uninterrupted run. */
let duration: number;
beforeAll(async () => {
  const startedAt = performance.now();
  const { stdout, status } = await shop.run(["run", "--image", "reference", churn]);
  duration = performance.now() - startedAt;
  expect(status).toBe(0);
  expected = stdout;
});

const MOST_RUNS = 100;

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Listed {
  readonly epoch: number;
  readonly status: string;
}

async function inspect(image: string): Promise<Listed> {
  return JSON.parse((await shop.run(["inspect", "--json", image])).stdout) as Listed;
}

describe("SIGKILL at random moments, several in a chain", () => {
  test.each([1, 2])(
    "seed %i: while it runs, in a save, in a resume; epochs never go back, the result is right",
    async (seed) => {
      const next = random(seed);
      let image = `chain ${seed}`;
      let seen = { saved: 0, killed: 0, lost: 0 };
      let epoch = 0;
      for (let runs = 1; runs <= MOST_RUNS; runs++) {
        const run = shop.start(["run", "--quiet", "--image", image, churn], { input: "" });
        // The command line needs some 150 ms before the guest runs: some are killed in their start or resume.
        await Promise.race([run.ended, sleep(80 + (duration / 4) * next())]);
        const kind = next();
        if (kind < 0.75) run.kill("SIGPWR");
        if (kind < 0.5) await Promise.race([run.ended, sleep(12 * next())]);
        if (kind < 0.5 || kind >= 0.75) run.kill("SIGKILL");
        const ended = await run.ended;
        // It may be killed between its output and its end, or between its two lines.
        if (ended.status === 0 || ended.stdout !== "") {
          const whole = ended.status === 0 ? expected : expected.slice(0, ended.stdout.length);
          expect(ended.stdout, `seed ${seed}`).toBe(whole);
          if (seen.saved + seen.killed > 3) return;
          // As many as that must be seen in one chain; on a machine whose load has changed it may be over before.
          [image, seen, epoch] = [`chain ${seed} after ${runs}`, { saved: 0, killed: 0, lost: 0 }, 0];
          continue;
        }
        const { signal, status, stderr } = ended;
        if (signal !== "SIGKILL" && signal !== "SIGPWR") expect(status, stderr).toBe(85);
        const found = await inspect(image).catch(() => undefined);
        if (found === undefined) continue; // killed before there was an image
        const { epoch: now, status: state } = found;
        expect(now, `seed ${seed}, run ${runs}`).toBeGreaterThanOrEqual(epoch);
        expect(now).toBeLessThanOrEqual(epoch + 1);
        expect(state).toMatch(now === 0 ? /^lost$/ : /^(saved|killed)$/);
        if (state === "saved" || state === "killed" || state === "lost") seen[state]++;
        epoch = now;
      }
      throw new Error(`seed ${seed}: not done after ${MOST_RUNS} runs, epoch ${epoch}`);
    },
  );
});
