/**
 * Kills programs of the corpus by SIGKILL, thousands of times, and compares what they leave with an uninterrupted run.
 *
 *     npm run soak -- [--kills N] [--seed S] [--programs chores,sqlite,lua] [--parallel N] [--journal FILE]
 *
 * Chains of up to 20 kills, with stdout in a file, opened at its beginning or to append, with a log alone or with persistence
 * points. Each chain is one run of a program, and has a seed of its own: that of the command and the number of the chain. The
 * next chain is always one of the program with the fewest kills, until each has N. With a journal, the chains that it tells
 * of count, and a command that was ended in the middle goes on behind them; `--kills 0` runs nothing and sums them up. Prints
 * one line for each program, and ends with 1 if any run differed.
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { AIMS, type Aim } from "./kill-timing.js";
import { type KillOptions, killAtRandom, killCount, type Reference, referenceOf } from "./kills.js";
import { root } from "./paths.js";
import type { Program } from "./program.js";
import { programs } from "./programs.js";
import { Random } from "./random.js";
import type { Result } from "./run.js";
import { Unavailable } from "./run-command.js";
import { type Chain, Journal } from "./soak-journal.js";

const CHAIN = 20;
const MODES: readonly (readonly string[])[] = [
  ["--log"],
  ["--persist-every", "20ms"],
  ["--persist-every", "200ms"],
  ["--log", "--recovery-target", "100ms"],
];

/** A program and its chains so far. */
class Subject {
  readonly program: Program;
  readonly chains: Chain[];
  /** Chains that are being run count as begun. */
  #begun: number;
  #reference: Promise<Reference> | undefined;

  constructor(program: Program, chains: Chain[]) {
    this.program = program;
    this.chains = chains;
    this.#begun = Math.max(0, ...chains.map(({ number }) => number + 1));
  }

  get kills(): number {
    return this.chains.reduce((sum, { kills }) => sum + killCount(kills), 0);
  }

  get next(): number {
    return this.#begun;
  }

  async run(seed: number): Promise<Chain> {
    const number = this.#begun++;
    const module = this.program.build();
    this.#reference ??= referenceOf(this.program, module);
    const reference = await this.#reference;
    const options: KillOptions = {
      options: MODES[number % MODES.length] ?? [],
      kills: CHAIN,
      stdout: Math.floor(number / MODES.length) % 2 === 0 ? "file" : "appended",
    };
    const random = new Random(seed + number);
    const { result, history, ...counts } = await killAtRandom(this.program, module, random, reference, options);
    const differs = !sameResult(result, reference.expected);
    const chain = { program: this.program.name, number, seed, ...counts, differs };
    this.chains.push(chain);
    if (!differs) return chain;
    console.log(
      `${this.program.name}: seed ${seed}, chain ${number}, ${JSON.stringify(options)}: differs: ${difference(result, reference.expected)}\n${history.join("\n")}`,
    );
    return chain;
  }
}

function sameResult(a: Result, b: Result): boolean {
  return a.stdout === b.stdout && a.exitCode === b.exitCode && JSON.stringify(a.files) === JSON.stringify(b.files);
}

function difference(found: Result, expected: Result): string {
  if (found.exitCode !== expected.exitCode) return `exit status ${found.exitCode}, not ${expected.exitCode}`;
  const names = Object.keys({ ...expected.files, ...found.files });
  const file = names.find((name) => found.files[name] !== expected.files[name]);
  if (file !== undefined) return `${file}: ${found.files[file]}, not ${expected.files[file]}`;
  let at = 0;
  while (found.stdout[at] === expected.stdout[at] && at < expected.stdout.length) at++;
  const [is, should] = [found, expected].map(({ stdout }) =>
    JSON.stringify(stdout.slice(Math.max(0, at - 80), at + 80)),
  );
  return `stdout at byte ${at} of ${expected.stdout.length}: ${is}, not ${should}`;
}

function line({ program: { name }, chains, kills }: Subject): string {
  const sum = (count: (chain: Chain) => number): number => chains.reduce((total, chain) => total + count(chain), 0);
  const aims = AIMS.map((aim: Aim) => `${sum((chain) => chain.kills[aim])} ${aim}`).join(", ");
  const met = sum((chain) => chain.met);
  const differing = sum((chain) => Number(chain.differs));
  const resumes = sum((chain) => chain.resumes);
  return `${name}: ${kills} kills (${aims}; ${met} of a program that ran) in ${chains.length} runs, ${resumes} resumed, ${differing} differ`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      kills: { type: "string", default: "500" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
      programs: { type: "string" },
      parallel: { type: "string", default: "2" },
      journal: { type: "string" },
    },
  });
  const [kills, seed, parallel] = [Number(values.kills), Number(values.seed), Number(values.parallel)];
  const chosen = values.programs?.split(",");
  const selected = programs.filter(({ name, measuredOnly }) => chosen?.includes(name) ?? measuredOnly !== true);
  const journal = new Journal(values.journal);
  const subjects = selected.map((program) => new Subject(program, journal.chainsOf(program.name)));
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  journal.begin({ seed, commit, node: process.version });
  console.log(
    `soak: seed ${seed}, commit ${commit}, ${kills} kills each of ${selected.map(({ name }) => name).join(", ")}`,
  );
  const unavailable = new Set<Subject>();
  const worker = async (): Promise<void> => {
    for (;;) {
      const open = subjects.filter((subject) => subject.kills < kills && !unavailable.has(subject));
      const [subject] = open.sort((a, b) => a.kills - b.kills || a.next - b.next);
      if (subject === undefined) return;
      try {
        journal.add(await subject.run(seed));
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        unavailable.add(subject);
        console.log(`${subject.program.name}: skipped: ${error.message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  for (const subject of subjects) if (!unavailable.has(subject)) console.log(line(subject));
  const total = subjects.reduce((sum, subject) => sum + subject.kills, 0);
  const differing = subjects.flatMap(({ chains }) => chains.filter(({ differs }) => differs)).length;
  console.log(`in all: ${total} kills, ${differing} runs differ`);
  if (differing > 0) process.exitCode = 1;
}

await main();
