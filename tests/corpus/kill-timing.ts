/**
 * When to send SIGKILL. The start of Node takes longer than many of the programs run, so a kill at a random time of the whole
 * run would mostly meet a program that has not begun. The image's header tells when it has: it is written at that moment.
 */
import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "./random.js";
import type { Run } from "./run.js";

/**
 * What a kill is meant to meet. "anywhere" counts from the start of the process, all others from the moment at which the
 * program begins or goes on. "recovery": the replay of the log, or the first steps behind it. "point" and "save": just behind a
 * SIGUSR1 or a SIGPWR.
 */
export type Aim = "anywhere" | "program" | "recovery" | "point" | "save";

export const AIMS: readonly Aim[] = ["anywhere", "program", "recovery", "point", "save"];

/** Of a run that nothing interrupts. */
export interface Times {
  readonly milliseconds: number;
  /** From the moment at which the program begins. */
  readonly programMilliseconds: number;
}

/** Delays in milliseconds. All is chosen before the process starts, so that a seed brings the choice back. */
export interface Shot {
  readonly aim: Aim;
  /** Since the start of the process, or since the program goes on. */
  readonly after: number;
  /** From the signal that asks for a point or a save. */
  readonly behindSignal: number;
}

/** Points and saves take a few milliseconds on an idle machine, several times that on a busy one. */
const LONGEST_SAVE = 15;

export function chooseShot(random: Random, { milliseconds, programMilliseconds }: Times): Shot {
  const [share, moment, behind] = [random.next(), random.next(), random.next()];
  const behindSignal = behind * LONGEST_SAVE;
  // Before 0.4 of that time the guest has not begun, mostly.
  if (share < 0.1) return { aim: "anywhere", after: milliseconds * (0.4 + 0.8 * moment), behindSignal };
  const after = programMilliseconds * moment;
  if (share < 0.4) return { aim: "program", after, behindSignal };
  if (share < 0.6) return { aim: "recovery", after: after * 0.2, behindSignal };
  return { aim: share < 0.8 ? "point" : "save", after, behindSignal };
}

/** Kills the process as the shot says; nothing happens to one that is over. True: the program had begun, or gone on. */
export async function shoot(child: ChildProcess, run: Run, { aim, after, behindSignal }: Shot): Promise<boolean> {
  const before = run.headerVersion();
  const begun = (): boolean => run.headerVersion() !== before;
  const lives = (): boolean => child.exitCode === null && child.signalCode === null;
  if (aim !== "anywhere") while (lives() && !begun()) await sleep(1);
  await sleep(after);
  if (aim === "point" || aim === "save") {
    if (lives()) child.kill(aim === "point" ? "SIGUSR1" : "SIGPWR");
    await sleep(behindSignal);
  }
  if (lives()) child.kill("SIGKILL");
  return begun();
}
