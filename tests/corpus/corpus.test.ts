/**
 * Real programs, the power cut at random places and times, every resume in a fresh process: stdout, files and exit code
 * must be those of an uninterrupted run.
 *
 * `npm test` takes a slice of it; `npm run corpus` all of it (VERMILION_CORPUS=full): at least 200 failures at safepoints
 * and 100 by SIGPWR for each program, in chains of 8 or more. A seed is printed; VERMILION_SEED brings it back.
 * VERMILION_PROGRAMS=fib,lua picks programs.
 */
import { beforeAll, describe, expect, test } from "vitest";
import {
  boundSafepoints,
  chainOfSafepoints,
  type Interrupted,
  interruptAtSafepoints,
  interruptBySignals,
  uninterrupted,
} from "./interruptions.js";
import type { Program } from "./program.js";
import { programs } from "./programs.js";
import { Random } from "./random.js";
import { Run } from "./run.js";
import { Unavailable } from "./run-command.js";
import { SignalTiming } from "./signal-timing.js";
import { wasmtimeCommand } from "./wasmtime.js";

const full = process.env["VERMILION_CORPUS"] === "full";
const seed = Number(process.env["VERMILION_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const chosen = process.env["VERMILION_PROGRAMS"]?.split(",");

const SAFEPOINT_FAILURES = full ? 200 : 8;
const SIGNALS = full ? 100 : 3;
/** Some of a chain's places lie behind the end of the run: 8 failures and more are left. */
const CHAIN = 11;
/** Chains at the same time, when there is more than a slice to do. */
const PARALLEL = full ? 2 : 1;
const HOUR = 3_600_000;

const selected = programs.filter(
  ({ name, slow, measuredOnly }) => chosen?.includes(name) ?? (measuredOnly !== true && (full || slow !== true)),
);

beforeAll(() => {
  console.log(`corpus: ${full ? "full" : "a slice"}, VERMILION_SEED=${seed}`);
});

/** The same seed for a program, whichever others run. */
function randomFor(program: Program, purpose: string): Random {
  return new Random([...`${program.name} ${purpose}`].reduce((hash, c) => Math.imul(hash, 31) + c.charCodeAt(0), seed));
}

/** Chains until enough failures were saved; chains that strike nothing ten times in a row are a fault of the test. */
async function repeat(
  wanted: number,
  makeChain: () => Promise<Interrupted>,
  check: (chain: Interrupted) => void,
): Promise<number> {
  let failures = 0;
  for (let idle = 0; failures < wanted && idle < 10; ) {
    const chains = await Promise.all(Array.from({ length: PARALLEL }, makeChain));
    const saved = chains.reduce((sum, chain) => sum + chain.failures, 0);
    chains.forEach(check);
    failures += saved;
    idle = saved === 0 ? idle + 1 : 0;
  }
  return failures;
}

describe.each(selected)("$name ($about)", (program) => {
  let module = "";
  let missing: string | undefined;
  let reference: Awaited<ReturnType<typeof uninterrupted>>;

  beforeAll(async () => {
    try {
      module = program.build();
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      missing = error.message;
      console.log(`corpus: ${program.name} skipped: ${missing}`);
      return;
    }
    await uninterrupted(program, module); // instruments the module, so that the next run's time is a run's time
    reference = await uninterrupted(program, module);
  }, HOUR);

  function expectSame({ result, history }: Interrupted): void {
    const { milliseconds: _, ...expected } = reference;
    expect(result, `seed ${seed}\n${history.join("\n")}`).toEqual(expected);
  }

  test("uninterrupted: what wasmtime makes of it", { timeout: HOUR }, async (context) => {
    if (missing !== undefined) return context.skip(missing);
    if (wasmtimeCommand === undefined) return context.skip("wasmtime is not installed");
    if (program.legacyExceptions === true) return context.skip("wasmtime does not run legacy exceptions");
    const run = new Run(module, program.test);
    try {
      expectSame({
        result: run.result((await run.goElsewhere(wasmtimeCommand)).status),
        failures: 0,
        history: run.history,
      });
    } finally {
      run.remove();
    }
  });

  test("failures at random safepoints, in chains", { timeout: HOUR }, async (context) => {
    if (missing !== undefined) return context.skip(missing);
    const random = randomFor(program, "safepoints");
    const safepoints = await boundSafepoints(program, module, full ? 1.2 : 2);
    const makeChain = () => interruptAtSafepoints(program, module, chainOfSafepoints(random, safepoints, CHAIN));
    const failures = await repeat(SAFEPOINT_FAILURES, makeChain, expectSame);
    console.log(`corpus: ${program.name}: ${failures} failures at safepoints of at most ${safepoints}`);
    expect(failures).toBeGreaterThanOrEqual(SAFEPOINT_FAILURES);
  });

  test("real SIGPWR at random times", { timeout: HOUR }, async (context) => {
    if (missing !== undefined) return context.skip(missing);
    const timing = new SignalTiming(randomFor(program, "signals"), reference.milliseconds);
    const makeChain = () => interruptBySignals(program, module, timing, CHAIN);
    const failures = await repeat(SIGNALS, makeChain, expectSame);
    console.log(`corpus: ${program.name}: ${failures} failures by SIGPWR`);
    // The slice's shortest programs may end before any signal meets them; the full run makes them long enough.
    if (full) expect(failures).toBeGreaterThanOrEqual(SIGNALS);
  });
});
