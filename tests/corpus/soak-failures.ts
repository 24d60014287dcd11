/**
 * Power failures by the million: explores programs of the corpus and the guest examples until so many were caused, and
 * compares every run with one that nothing interrupts.
 *
 *     npm run soak:failures -- [--failures N] [--seed S] [--programs fib,files] [--jobs N]
 *
 * Each program gets the same share, in passes with a seed each, so that all have had about the same whenever it is ended.
 * Prints one line for each program and pass, and ends with 1 if any run differed.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeFinding, type ExploreOptions, explore } from "vermilion/testing";
import { guestExamples } from "../../guest-examples/examples.js";
import { root } from "./paths.js";
import { ownPrograms } from "./programs/own.js";
import { thirdPartyPrograms } from "./programs/third-party.js";
import { toolchainPrograms } from "./programs/toolchain.js";
import { Unavailable } from "./run-command.js";

interface Explored {
  readonly name: string;
  /** `folder` is empty, for the program's files. Throws `Unavailable`. */
  options(folder: string): ExploreOptions;
}

const corpus: readonly Explored[] = [...ownPrograms, ...thirdPartyPrograms, ...toolchainPrograms].map(
  ({ name, build, test }) => ({
    name,
    options: (folder) => {
      const { args, stdin, files, libraries } = test;
      const data = join(folder, "data");
      mkdirSync(data);
      for (const [file, path] of Object.entries(files ?? {})) copyFileSync(path, join(data, file));
      if (stdin !== undefined) writeFileSync(join(folder, "stdin"), stdin);
      return {
        module: build(),
        args,
        stdin: stdin === undefined ? undefined : join(folder, "stdin"),
        preopens: [...(libraries?.() ?? []), ...(files === undefined ? [] : [{ host: data, guest: "/data" }])],
      };
    },
  }),
);

/** Of a program in a pass: the runs without a failure that come first must not take most of the time. */
const SHARE_OF_PASS = 4000;

/** It is told of each failure and counts them, so that each of its runs must go to the end, for a second and more. */
const TOLD = "sigpwr";

const examples: readonly Explored[] = guestExamples
  .filter(({ committed, name }) => committed && name !== TOLD)
  .map(({ name, args, stdin, files }) => ({
    name: `example ${name}`,
    options: () => {
      const folder = join(root, "guest-examples", name);
      return {
        module: join(folder, `${name}.wasm`),
        args,
        stdin: stdin === undefined ? undefined : join(folder, stdin),
        preopens: files === true ? [{ host: folder, guest: "/" }] : [],
      };
    },
  }));

/** How many failures there were, or undefined if the program cannot be had. */
async function soak({ name, options }: Explored, more: Partial<ExploreOptions>): Promise<number | undefined> {
  const folder = mkdtempSync(join(tmpdir(), "vermilion-soak-"));
  try {
    const exploration = await explore({ ...options(folder), ...more });
    const { failures, points, converged, milliseconds, findings, reference } = exploration;
    console.log(
      `${name}: ${failures} failures at ${points} points of ${reference.safepoints} safepoints, ${converged} converged, ` +
        `${(milliseconds / 1000).toFixed(0)} s, ${findings.length} differ`,
    );
    for (const finding of findings) console.log(describeFinding(finding).join("\n"));
    if (findings.length > 0) process.exitCode = 1;
    return failures;
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.log(`${name}: skipped: ${error.message}`);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      failures: { type: "string", default: "100000" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
      programs: { type: "string" },
      jobs: { type: "string" },
    },
  });
  const chosen = values.programs?.split(",");
  const selected = [...examples, ...corpus].filter(({ name }) => chosen?.includes(name) ?? true);
  const share = Math.ceil(Number(values.failures) / selected.length);
  console.log(`soak: seed ${values.seed}, ${share} failures each of ${selected.length} programs`);
  const jobs = values.jobs === undefined ? {} : { jobs: Number(values.jobs) };
  const available = new Set(selected);
  let total = 0;
  for (let seed = Number(values.seed), left = share; left > 0; seed++, left -= SHARE_OF_PASS) {
    for (const program of available) {
      const failures = await soak(program, { failures: Math.min(left, SHARE_OF_PASS), seed, mostFindings: 3, ...jobs });
      if (failures === undefined) available.delete(program);
      total += failures ?? 0;
    }
    console.log(`soak: ${total} failures of ${available.size} programs, up to seed ${seed}`);
  }
  console.log(
    `soak: ${total} failures of ${available.size} programs, ${process.exitCode === 1 ? "some" : "none"} differ`,
  );
}

await main();
