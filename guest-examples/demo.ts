/**
 * A program of some seconds, its power cut three times at random moments, each resume in a fresh process; at the end the
 * right answer. `npm run demo`
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Process } from "../runtime/index.js";

const STEPS = "50000000";
const CUTS = 3;
const POWER_FAILURE_STATUS = 85;
const vermilion = fileURLToPath(new URL("../runtime/cli/main.cjs", import.meta.url));
const module = fileURLToPath(new URL("../../guest-examples/n-body/n-body.wasm", import.meta.url));

const directory = mkdtempSync(join(tmpdir(), "vermilion-demo-"));
const image = join(directory, "image");

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

/** The program from beginning to end, in this process, through the library. */
async function uninterrupted(): Promise<{ output: string; milliseconds: number }> {
  const path = join(directory, "uninterrupted.txt");
  const stdout = openSync(path, "w");
  const guest = await Process.create({
    ...{ module, args: [STEPS], image: join(directory, "uninterrupted"), stdio: [-1, stdout, 2] },
  });
  const startedAt = performance.now();
  await guest.run();
  const milliseconds = performance.now() - startedAt;
  closeSync(stdout);
  return { output: readFileSync(path, "utf8"), milliseconds };
}

interface Run {
  readonly pid: number | undefined;
  readonly status: number | null;
  readonly output: string;
  /** What Vermilion said: one JSON object a line. */
  readonly events: readonly Readonly<Record<string, unknown>>[];
  /** From the SIGPWR to the end of the process; undefined: none was sent. */
  readonly endedAfterMilliseconds: number | undefined;
}

/** `vermilion run`, typed again each time; `cutAfter`: milliseconds from its first sign of life until the power fails. */
async function run(cutAfter: number | undefined): Promise<Run> {
  const args = [vermilion, "run", "--json", "--image", image, module, STEPS];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  const begun = Promise.race([child.stdout, child.stderr].map((stream) => once(stream, "readable")));
  const [output, messages] = [child.stdout, child.stderr].map(async (stream) => Buffer.concat(await stream.toArray()));
  const ended = once(child, "close");
  let cutAt: number | undefined;
  if (cutAfter !== undefined) {
    await begun; // on a busy machine Node itself may take as long as the program is given
    await sleep(cutAfter);
    cutAt = performance.now();
    child.kill("SIGPWR");
  }
  await ended;
  const endedAfterMilliseconds = cutAt === undefined ? undefined : performance.now() - cutAt;
  const lines = String(await messages).split("\n");
  return {
    pid: child.pid,
    status: child.exitCode,
    output: String(await output),
    events: lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Record<string, unknown>),
    endedAfterMilliseconds,
  };
}

try {
  say(`n-body.wasm: four planets and the Sun, ${Number(STEPS).toLocaleString("en")} steps. Plain C, built with clang.`);
  const reference = await uninterrupted();
  say(`Uninterrupted: ${seconds(reference.milliseconds)}.`);
  say("");
  let output = "";
  let cuts = 0;
  for (let number = 1; ; number++) {
    // Early enough for all the cuts to strike: what is resumed runs in freshly optimised code, at up to twice the speed.
    const cutAfter = cuts < CUTS ? reference.milliseconds * (0.06 + 0.1 * Math.random()) : undefined;
    const startedAt = performance.now();
    const { pid, status, output: part, events, endedAfterMilliseconds } = await run(cutAfter);
    output += part;
    const resuming = events.find(({ event }) => event === "resuming");
    const where =
      resuming === undefined ? "starts" : `resumes epoch ${resuming["epoch"]}, ${resuming["frames"]} frames`;
    say(`Run ${number}, process ${pid}: ${where}.`);
    if (status !== POWER_FAILURE_STATUS) {
      say(`  Ends after ${seconds(performance.now() - startedAt)} with exit status ${status}.`);
      break;
    }
    cuts++;
    const saved = events.find(({ event }) => event === "power-failed");
    const saving = Number(saved?.["saveMilliseconds"]).toFixed(1);
    const gone = endedAfterMilliseconds?.toFixed(0);
    say(`  Power cut after ${seconds(cutAfter ?? 0)}: saved in ${saving} ms, process gone after ${gone} ms.`);
  }
  say("");
  const right = output === reference.output;
  say(`Last line: ${output.trimEnd().split("\n").at(-1)?.trim()}`);
  say(right ? `The same output as uninterrupted, after ${cuts} power cuts.` : "WRONG: the output differs.");
  process.exitCode = right && cuts === CUTS ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
