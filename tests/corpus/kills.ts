/**
 * Chains of SIGKILL at random moments: in the start, while the guest runs, in a persistence point, in a save, in a replay. What
 * the run leaves must be what an uninterrupted one does, exactly once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { uninterrupted } from "./interruptions.js";
import { AIMS, type Aim, chooseShot, shoot, type Times } from "./kill-timing.js";
import type { Program } from "./program.js";
import type { Random } from "./random.js";
import { type Result, Run, SAVED } from "./run.js";

export interface KillOptions {
  /** Of `vermilion run`. */
  readonly options: readonly string[];
  readonly kills: number;
  readonly stdout: "file" | "appended";
}

/** What an uninterrupted run leaves, and how long it takes. */
export interface Reference extends Times {
  readonly expected: Result;
}

export interface Killed {
  readonly result: Result;
  /** By what they were meant to meet. */
  readonly kills: Readonly<Record<Aim, number>>;
  /** Those that met a program that had begun, or gone on. */
  readonly met: number;
  /** Processes that went on with what a kill, or a save, had left behind. */
  readonly resumes: number;
  readonly history: readonly string[];
}

/** A chain that gets nowhere is a fault. */
const MOST_STEPS = 200;

/** What ends a process from outside; the two that ask for something do so once nobody listens for them any more. */
const DEATHS: readonly (NodeJS.Signals | null)[] = ["SIGKILL", "SIGPWR", "SIGUSR1"];

export async function referenceOf(program: Program, module: string): Promise<Reference> {
  await uninterrupted(program, module); // instruments the module
  const { milliseconds, ...expected } = await uninterrupted(program, module);
  return { expected, milliseconds, programMilliseconds: await programTime(program, module) };
}

/** With a log, as the killed runs have one. */
async function programTime(program: Program, module: string): Promise<number> {
  const run = new Run(module, program.test, "file");
  try {
    let begun = performance.now();
    let over = false;
    const watch = async (): Promise<void> => {
      while (!over && run.headerVersion() === undefined) await sleep(1);
      begun = performance.now();
    };
    await run.go(["--log"], () => void watch());
    over = true;
    return performance.now() - begun;
  } finally {
    run.remove();
  }
}

export const killCount = (kills: Readonly<Record<Aim, number>>): number =>
  AIMS.reduce((sum, aim) => sum + kills[aim], 0);

/** One run to its end. */
export async function killAtRandom(
  program: Program,
  module: string,
  random: Random,
  reference: Reference,
  { options, kills: most, stdout }: KillOptions,
): Promise<Killed> {
  const run = new Run(module, program.test, stdout);
  const kills: Record<Aim, number> = { anywhere: 0, program: 0, recovery: 0, point: 0, save: 0 };
  let met = 0;
  let resumes = 0;
  const ended = (exitCode: number | null): Killed => ({
    result: run.result(exitCode),
    kills,
    met,
    resumes,
    history: run.history,
  });
  try {
    for (let steps = 0; steps < MOST_STEPS; steps++) {
      const shot = killCount(kills) < most ? chooseShot(random, reference) : undefined;
      let shooting = Promise.resolve(false);
      const step = await run.go(options, (child) => {
        if (shot !== undefined) shooting = shoot(child, run, shot);
      });
      const hadBegun = await shooting;
      if (step.stderr.includes("resuming ")) resumes++;
      if (step.signal === "SIGKILL" && shot !== undefined) {
        kills[shot.aim]++;
        if (hadBegun) met++;
      }
      if (step.status === SAVED) continue;
      if (!DEATHS.includes(step.signal)) return ended(step.status);
      // Between the program's last act and its end; asking takes as long as a run, so only then.
      const complete = run.result(null).stdout.length >= reference.expected.stdout.length;
      const status = complete ? run.finishedWith() : undefined;
      if (status !== undefined) return ended(status);
    }
    throw new Error(`${program.name}: not done after ${MOST_STEPS} runs\n${run.history.slice(-5).join("\n")}`);
  } finally {
    run.remove();
  }
}
