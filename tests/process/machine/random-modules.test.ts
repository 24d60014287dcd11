/**
 * Random modules, stopped at random safepoints: they log what they log on the bare engine.
 *
 * VERMILION_MODULES=n: so many instead of a few; VERMILION_SEED: others.
 */
import { expect, test } from "vitest";
import { interruptAtRandom, NotAssembled } from "./harness.js";
import { exportsOf, numbersFrom, programCalling, randomModule } from "./random-module.js";

const MODULES = Number(process.env["VERMILION_MODULES"] ?? 4);
const SEED = process.env["VERMILION_SEED"] ?? "1";
/** Node 20 does not know exnref, Node 22 runs it wrongly. */
const hasNewer = Number.parseInt(process.versions.v8, 10) >= 13;

test("random modules, stopped at random safepoints", { timeout: 3_600_000 }, () => {
  let [programs, resumes, refused] = [0, 0, 0];
  for (let number = 0; number < MODULES; number++) {
    const seed = `${SEED} ${number}`;
    const next = numbersFrom(`${seed} program`);
    const newer = hasNewer && number % 2 === 0;
    const text = randomModule(seed, newer);
    const exported = exportsOf(text);
    for (let choice = 0; choice < Math.min(6, exported.length); choice++) {
      const program = programCalling(text, exported[next(exported.length)]!, newer, next);
      try {
        const done = interruptAtRandom(program, next, `seed ${seed}, choice ${choice}`);
        if (done === undefined) refused++;
        else [programs, resumes] = [programs + 1, resumes + done];
      } catch (error) {
        if (!(error instanceof NotAssembled)) throw error;
        console.log(`seed ${seed}: ${error.message}`);
        refused++;
      }
    }
  }
  console.log(
    `random modules: ${MODULES}, ${programs} programs, ${resumes} resumes; ${refused} programs were not comparable`,
  );
  expect(resumes).toBeGreaterThan(0);
});
