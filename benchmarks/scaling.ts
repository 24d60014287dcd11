/**
 * What grows as the work grows?
 *
 *     node dist/benchmarks/scaling.js [--quick] [--series NAMES] [--runs N] [--minutes M] [--images DIR] [--output FILE]
 *
 * One thing at a time grows, the rest stays small: the heap, its dirty pages, live objects, the depth of the stack, the pages that
 * change between two persistence points, the epochs that are kept, the log, the module. The page shows logarithmic plots with
 * their slopes: 0 is constant, 1 linear. What each series is stands in scaling/*.ts.
 *
 * --series: questions whose names contain one of these; in a file of results that has others already, those stay. --minutes:
 * nothing is begun after that time; all of it takes about 25. "many" are percentiles: of 10,000 persistence points of each kind, and
 * of power failures of a process that is resumed again and again for some minutes.
 */
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Unavailable } from "../tests/corpus/run-command.js";
import type { Scaling } from "./page/results.js";
import { slopeOf } from "./page/results.js";
import { describeSurroundings, formatTable, headline, median, resultsPath, writeResults } from "./report.js";
import { Answers } from "./scaling/answers.js";
import { epochs } from "./scaling/epochs.js";
import { logs } from "./scaling/logs.js";
import { manySaves } from "./scaling/many-saves.js";
import { modules } from "./scaling/modules.js";
import { manyPauses, pausesByDepth, pausesByHeap, pausesByPages, runTimes } from "./scaling/pausing.js";
import { depths, dirtyHeaps, heaps, objects } from "./scaling/saving.js";
import { isOver, type Question, type Sizes } from "./scaling/series.js";

const QUESTIONS: readonly Question[] = [
  ...[heaps, dirtyHeaps, depths, objects, pausesByHeap, pausesByDepth, pausesByPages, runTimes, logs, modules, epochs],
  ...[...manyPauses, ...manySaves],
];
const FULL_MINUTES = 25;

function questionsNamed(names: readonly string[] | undefined): Question[] {
  const chosen = QUESTIONS.filter(({ name }) => names?.some((part) => name.includes(part)) ?? true);
  if (chosen.length > 0) return chosen;
  throw new Error(`--series: there are ${QUESTIONS.map(({ name }) => name).join(", ")}`);
}

/** What stands in a file of results already, but for what is asked now. */
function others(path: string, asked: readonly Question[]): Pick<Scaling, "series" | "distributions" | "skipped"> {
  const nothing = { series: [], distributions: [], skipped: {} };
  if (!existsSync(path)) return nothing;
  const { scaling } = JSON.parse(readFileSync(path, "utf8")) as { scaling?: Scaling };
  if (scaling === undefined) return nothing;
  const isOther = ({ question }: { readonly question: string }) => asked.every(({ name }) => name !== question);
  return {
    series: scaling.series.filter(isOther),
    distributions: scaling.distributions.filter(isOther),
    skipped: Object.fromEntries(Object.entries(scaling.skipped).filter(([question]) => isOther({ question }))),
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      series: { type: "string" },
      runs: { type: "string" },
      minutes: { type: "string", default: String(FULL_MINUTES) },
      images: { type: "string", default: "/dev/shm" },
      output: { type: "string" },
    },
  });
  const { quick } = values;
  const runs = Number(values.runs ?? (quick ? 1 : 3));
  const surroundings = describeSurroundings();
  console.log(`${headline(surroundings)}, ${runs} rounds`);
  const questions = questionsNamed(values.series?.split(","));
  const deadline = performance.now() + Number(values.minutes) * 60_000;
  const sizes: Sizes = { quick, directory: values.images, deadline };
  const answers = new Answers(surroundings);
  const before = others(values.output ?? resultsPath(surroundings), questions);
  const keep = () => {
    if (quick && values.output === undefined) return;
    const results = {
      ...{ quick, runs },
      series: [...before.series, ...answers.series],
      distributions: [...before.distributions, ...answers.distributions],
      skipped: { ...before.skipped, ...Object.fromEntries(answers.skipped) },
    };
    writeResults("scaling", surroundings, results, values.output);
  };
  for (let round = 0; round < runs; round++) {
    for (const question of questions) {
      if (isOver(sizes) || (question.once === true && round > 0)) continue;
      const startedAt = performance.now();
      try {
        await question.round(sizes, answers.of(question.name));
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        answers.skipped.set(question.name, error.message);
      }
      keep(); // now, so that nothing is lost should a later one fail
      console.log(`${question.name}: ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
    }
  }
  for (const { name, x, y, points } of answers.series) {
    const rows = points.map((each) => ["", String(each.x), median(each.y).toFixed(2)]);
    console.log(`\n${formatTable([[`${name}: slope ${slopeOf(points).toFixed(2)}`, x, y], ...rows])}`);
  }
  for (const { what, events, p50, p99, p999 } of answers.distributions)
    console.log(`\n${what}: ${events} events, p50 ${p50}, p99 ${p99}, p99.9 ${p999} ms`);
}

await main();
