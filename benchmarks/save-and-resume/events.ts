/** Single events: a process is resumed, says so, loses its power again, and is gone. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { commandLine } from "../../tests/corpus/paths.js";
import { root } from "../report.js";

const POWER_FAILURE_STATUS = 85;
const watched = join(root, "tests", "support", "time-save.mjs");

/** Milliseconds. */
export interface SaveTimes {
  /** From kill(2) to the guest's thread seeing it: the signal, the main thread's wake-up, the guest's next poll. */
  readonly noticing: number;
  /** Unwinding and spilling the frames, and taking globals and tables. */
  readonly unwinding: number;
  readonly describing: number;
  /** Finding what has changed, and writing it. */
  readonly memory: number;
  /** Writing the state file. */
  readonly state: number;
  /** Flushing both, writing the slot and flushing it. */
  readonly flip: number;
  /** From kill(2) to the durable slot. */
  readonly total: number;
  /** Without waiting for the disk. */
  readonly beyondFlush: number;
  readonly frames: number;
}

export interface WatchedEvent {
  readonly save: SaveTimes;
  /** From the first look at the image to the guest's first output. */
  readonly resume: number;
}

export interface Guest {
  readonly module: string;
  readonly args: readonly string[];
  /** It writes a "t" when its memory is dirty, and the power is not cut before. */
  readonly touches: boolean;
}

interface Finished {
  /** Milliseconds of the monotonic clock that all processes share. */
  readonly spawnedAt: number;
  readonly firstOutputAt: number;
  readonly killedAt: number;
  /** Of the saved stacks; NaN: it was not asked for messages as data. */
  readonly frames: number;
}

const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Runs until the guest is ready, waits for a moment in which it computes, and cuts its power. */
function runAndCut(args: readonly string[], ready: string, environment: Record<string, string>): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const spawnedAt = now();
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    let firstOutputAt = Number.NaN;
    let killedAt = Number.NaN;
    let [output, errors] = ["", ""];
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.stdout.on("data", (chunk: Buffer) => {
      if (output === "") firstOutputAt = now();
      const before = output.includes(ready);
      output += chunk.toString();
      if (before || !output.includes(ready)) return;
      const cut = () => {
        killedAt = now();
        child.kill("SIGPWR");
      };
      setTimeout(cut, 5 + Math.random() * 10);
    });
    child.on("error", reject);
    child.on("close", (status) => {
      const [, frames] = /"power-failed".*"frames":(\d+)/.exec(errors) ?? [];
      if (status === POWER_FAILURE_STATUS) resolve({ spawnedAt, firstOutputAt, killedAt, frames: Number(frames) });
      else reject(new Error(`${args.join(" ")}: status ${status}: ${errors}`));
    });
  });
}

/** Node's own start, up to the first byte that a program of one line writes. */
export function nodeStart(): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = now();
    const child = spawn(process.execPath, ["-e", 'require("fs").writeSync(1, "r")'], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let took = Number.NaN;
    child.stdout.once("data", () => {
      took = now() - startedAt;
    });
    child.on("error", reject);
    child.on("close", () => resolve(took));
  });
}

/** The process is created, or resumed, by the command line with a stopwatch in it, and every step of its next save is watched. */
export async function watchedEvent(scratch: string, guest: Guest, create: boolean): Promise<WatchedEvent> {
  const result = join(scratch, "result.json");
  const image = join(scratch, "image");
  const command = create
    ? ["run", "--json", "--image", image, guest.module, ...guest.args]
    : ["resume", "--json", image];
  const args = [watched, result, ...command];
  const environment = { XDG_CACHE_HOME: scratch };
  const { firstOutputAt, killedAt, frames } = await runAndCut(args, guest.touches ? "t" : "r", environment);
  const nanoseconds = JSON.parse(readFileSync(result, "utf8")) as Record<string, number>;
  const at = (name: string): number => (nanoseconds[name] ?? Number.NaN) / 1e6;
  const written = nanoseconds["written"] === undefined ? at("described") : at("written"); // else no page had changed
  const total = at("saved") - killedAt;
  return {
    save: {
      noticing: at("seen") - killedAt,
      unwinding: at("unwound") - at("seen"),
      describing: at("described") - at("unwound"),
      memory: written - at("described"),
      state: at("flipping") - written,
      flip: at("saved") - at("flipping"),
      total,
      beyondFlush: total - at("flushing"),
      frames,
    },
    resume: firstOutputAt - at("opening"),
  };
}

/** The process is resumed by `vermilion resume`: milliseconds from its start to the guest's first output. */
export async function resumeEvent(scratch: string, guest: Guest): Promise<number> {
  const args = [commandLine, "resume", "--quiet", join(scratch, "image")];
  const { spawnedAt, firstOutputAt } = await runAndCut(args, guest.touches ? "t" : "r", { XDG_CACHE_HOME: scratch });
  return firstOutputAt - spawnedAt;
}
