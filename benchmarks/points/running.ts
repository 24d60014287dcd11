/** How the runs of points.ts are started, each in a process and a directory of its own. */
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cached } from "../../tests/corpus/build-cache.js";
import { commandLine } from "../../tests/corpus/paths.js";
import type { Workload } from "../../tests/corpus/program.js";
import { runCommand } from "../../tests/corpus/run-command.js";
import { clang } from "../../tests/corpus/toolchains.js";
import { root } from "../report.js";
import type { Order, Timing } from "./run-process.js";

const runProcess = join(root, "dist", "benchmarks", "points", "run-process.js");

/** Deep stacks need it; in C's own, each activation has some bytes too. */
const STACK_BYTES = 8 * 2 ** 20;

/** The guest.c of a folder. Throws `Unavailable` without a compiler for it. */
export function guestModule(folder = "points"): string {
  const { command, version } = clang();
  const source = join(root, "benchmarks", folder, "guest.c");
  const headers = join(root, "guest-examples");
  const files = [source, join(root, "benchmarks", "points", "pauses.h"), join(headers, "vermilion.h")];
  const options = ["-O2", `-Wl,-z,stack-size=${STACK_BYTES}`];
  return cached("points", "guest.wasm", { words: [...command, version, ...options], files }, (output) => {
    runCommand([...command, ...options, `-I${headers}`, source, "-o", output]);
  });
}

/** A directory for as long as the work takes. */
export async function within<Result>(parent: string, work: (scratch: string) => Result): Promise<Awaited<Result>> {
  const scratch = mkdtempSync(join(parent, "vermilion-points-"));
  try {
    return await work(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

export interface How {
  /** Milliseconds between two points; null, or not given: none. */
  readonly period?: number | null;
  readonly log?: boolean;
  readonly keep?: number;
}

export interface Finished extends Timing {
  readonly stdout: string;
  readonly image: string;
}

/** One run in `scratch`; files of the workload are in its /data. */
export function runGuest(scratch: string, module: string, workload: Workload, how: How): Finished {
  const data = join(scratch, "data");
  mkdirSync(data);
  for (const [name, from] of Object.entries(workload.files ?? {})) copyFileSync(from, join(data, name));
  writeFileSync(join(scratch, "stdin"), workload.stdin ?? "");
  const order: Order = {
    ...{ module, args: workload.args, image: join(scratch, "image") },
    ...{ stdin: join(scratch, "stdin"), stdout: join(scratch, "stdout"), exitCode: workload.exitCode ?? 0 },
    preopens: [{ host: data, guest: "/data" }, ...(workload.libraries?.() ?? [])],
    ...{ period: how.period ?? null, log: how.log ?? (how.period ?? null) !== null, keep: how.keep ?? 1 },
  };
  const { status, stdout, stderr } = spawnSync(process.execPath, [runProcess, JSON.stringify(order)], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${module} ${workload.args.join(" ")}: status ${status}: ${stderr}`);
  const timing = JSON.parse(stdout) as Timing;
  return { ...timing, stdout: readFileSync(order.stdout, "utf8"), image: order.image };
}

/**
 * `vermilion` with these arguments until its guest has written `until`, then killed by SIGKILL. Milliseconds from its start to
 * the first byte, and to that one; and all that it has written.
 */
export function runUntil(
  args: readonly string[],
  until: string,
): Promise<{ first: number; then: number; output: string }> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const child = spawn(process.execPath, [commandLine, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let [first, then] = [Number.NaN, Number.NaN];
    let [output, errors] = ["", ""];
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.stdout.on("data", (chunk: Buffer) => {
      const elapsed = performance.now() - startedAt;
      if (Number.isNaN(first)) first = elapsed;
      output += chunk.toString();
      if (!Number.isNaN(then) || !chunk.toString().includes(until)) return;
      then = elapsed;
      child.kill("SIGKILL");
    });
    child.on("error", reject);
    child.on("close", (status) => {
      if (Number.isNaN(then)) reject(new Error(`vermilion ${args.join(" ")}: status ${status}: ${errors}`));
      else resolve({ first, then, output });
    });
  });
}
