/**
 * Random modules, stopped at random safepoints: they log what they log on the bare engine.
 *
 * VERMILION_MODULES=n: so many instead of a few; VERMILION_SEED: others.
 */
import { expect, test } from "vitest";
import { RUNS_EXNREF } from "../../../runtime/process/forms.js";
import { Random } from "../../../runtime/testing/random.js";
import { interruptAtRandom, NotAssembled } from "./harness.js";
import { exportsOf, programCalling, randomModule } from "./random-module.js";

const MODULES = Number(process.env["VERMILION_MODULES"] ?? 4);
const SEED = Number(process.env["VERMILION_SEED"] ?? 1);

test("random modules, stopped at random safepoints", { timeout: 3_600_000 }, () => {
  let [programs, resumes, refused] = [0, 0, 0];
  for (let number = 0; number < MODULES; number++) {
    const seed = SEED * 100_000 + number;
    const random = new Random(seed);
    const newer = RUNS_EXNREF && number % 2 === 0;
    const text = randomModule(random, newer);
    const exported = exportsOf(text);
    for (let choice = 0; choice < Math.min(6, exported.length); choice++) {
      const program = programCalling(text, exported[random.below(exported.length)]!, newer, random);
      try {
        const done = interruptAtRandom(program, random, `seed ${seed}, choice ${choice}`);
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
