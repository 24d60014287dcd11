/**
 * Kills programs of the corpus by SIGKILL, thousands of times, and compares what they leave with an uninterrupted run.
 *
 *     npm run soak -- [--kills N] [--seed S] [--programs chores,sqlite,lua] [--parallel N]
 *
 * Chains of up to 20 kills, with stdout in a file, opened at its beginning or to append, with a log alone or with persistence
 * points. Prints one line for each program, and ends with 1 if any run differed.
 */
import { parseArgs } from "node:util";
import { uninterrupted } from "./interruptions.js";
import { type Killed, type KillOptions, killAtRandom } from "./kills.js";
import type { Program } from "./program.js";
import { programs } from "./programs.js";
import { Random } from "./random.js";
import type { Result } from "./run.js";
import { Unavailable } from "./run-command.js";

const CHAIN = 20;
const MODES: readonly (readonly string[])[] = [
  ["--log"],
  ["--persist-every", "20ms"],
  ["--persist-every", "200ms"],
  ["--log", "--recovery-target", "100ms"],
];

interface Tally {
  kills: number;
  resumes: number;
  runs: number;
  differing: number;
}

function sameResult(a: Result, b: Result): boolean {
  return a.stdout === b.stdout && a.exitCode === b.exitCode && JSON.stringify(a.files) === JSON.stringify(b.files);
}

async function soak(program: Program, kills: number, seed: number, parallel: number): Promise<Tally> {
  const module = program.build();
  await uninterrupted(program, module); // instruments the module
  const reference = await uninterrupted(program, module);
  const { milliseconds: _, ...expected } = reference;
  const tally: Tally = { kills: 0, resumes: 0, runs: 0, differing: 0 };
  const chain = async (number: number): Promise<void> => {
    const chainSeed = seed + number;
    const options: KillOptions = {
      options: MODES[number % MODES.length] ?? [],
      kills: CHAIN,
      stdout: Math.floor(number / MODES.length) % 2 === 0 ? "file" : "appended",
    };
    const killed: Killed = await killAtRandom(program, module, new Random(chainSeed), reference, options);
    tally.kills += killed.kills;
    tally.resumes += killed.resumes;
    tally.runs++;
    if (sameResult(killed.result, expected)) return;
    tally.differing++;
    console.log(
      `${program.name}: seed ${chainSeed}, ${JSON.stringify(options)}: differs\n${killed.history.join("\n")}`,
    );
  };
  let next = 0;
  const worker = async (): Promise<void> => {
    while (tally.kills < kills) await chain(next++);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return tally;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      kills: { type: "string", default: "500" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
      programs: { type: "string" },
      parallel: { type: "string", default: "2" },
    },
  });
  const chosen = values.programs?.split(",");
  const selected = programs.filter(({ name }) => chosen?.includes(name) ?? true);
  console.log(
    `soak: seed ${values.seed}, ${values.kills} kills each of ${selected.map(({ name }) => name).join(", ")}`,
  );
  for (const program of selected) {
    try {
      const { kills, resumes, runs, differing } = await soak(
        program,
        Number(values.kills),
        Number(values.seed),
        Number(values.parallel),
      );
      console.log(`${program.name}: ${kills} kills in ${runs} runs, ${resumes} resumed, ${differing} differ`);
      if (differing > 0) process.exitCode = 1;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      console.log(`${program.name}: skipped: ${error.message}`);
    }
  }
}

await main();
