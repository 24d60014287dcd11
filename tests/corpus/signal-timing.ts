/**
 * When to send SIGPWR, so that it strikes while the program runs. Starting takes longer than many of these programs run, and
 * nothing outside says when it is over; so the times are random within a window that learns from what came of each signal.
 */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "./random.js";
import { SAVED, type Step } from "./run.js";

/** What a signal met. */
export type Met = "start" | "program" | "end";

export class SignalTiming {
  readonly #random: Random;
  /** Milliseconds after the process began to listen. */
  #from = 0;
  #to: number;

  constructor(random: Random, milliseconds: number) {
    this.#random = random;
    this.#to = milliseconds;
  }

  pick(): number {
    return this.#from + this.#random.next() * (this.#to - this.#from);
  }

  /** The load of the machine moves the program's time, so a miss also widens the window on the far side. */
  learn(delay: number, met: Met): void {
    if (met === "start") {
      this.#from += (delay - this.#from) / 2;
      this.#to *= 1.1;
    } else if (met === "end") {
      this.#to -= (this.#to - delay) / 4;
      this.#from *= 0.9;
    } else {
      this.#from *= 0.95;
      this.#to *= 1.03;
    }
    this.#to = Math.max(this.#to, this.#from + 5);
  }
}

/** Sends SIGPWR `delay` milliseconds after the process began to listen for it; nothing to a process that is over. */
export async function strike(child: ChildProcess, delay: number): Promise<void> {
  while (child.pid !== undefined && child.exitCode === null && !listens(child.pid)) await sleep(1);
  await sleep(delay);
  if (child.exitCode === null) child.kill("SIGPWR");
}

/** The mask of caught signals in proc(5). */
function listens(pid: number): boolean {
  try {
    const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(constants.signals.SIGPWR - 1)) & 1n) === 1n;
  } catch {
    return false;
  }
}

/** A save that took no time: the program had not begun, or not begun again. */
export function whatItMet(step: Step): Met {
  if (step.status !== SAVED) return "end";
  return /before the program began|in 0\.0 ms/.test(step.stderr) ? "start" : "program";
}
