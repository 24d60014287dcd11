/**
 * Power failures by the million: explores programs of the corpus and the guest examples until so many were caused, and
 * compares every run with one that nothing interrupts.
 *
 *     npm run soak:failures -- [--failures N] [--seed S] [--programs fib,files] [--jobs N]
 *
 * Each program gets the same share. Prints one line for each, and ends with 1 if any run differed.
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
import { Unavailable } from "./run-command.js";

interface Explored {
  readonly name: string;
  /** `folder` is empty, for the program's files. Throws `Unavailable`. */
  options(folder: string): ExploreOptions;
}

/** Programs that need megabytes of libraries would be copied for every run, so they are not among these. */
const corpus: readonly Explored[] = [...ownPrograms, ...thirdPartyPrograms]
  .filter(({ slow, test }) => slow !== true && test.libraries === undefined)
  .map(({ name, build, test }) => ({
    name,
    options: (folder) => {
      const { args, stdin, files } = test;
      const data = join(folder, "data");
      mkdirSync(data);
      for (const [file, path] of Object.entries(files ?? {})) copyFileSync(path, join(data, file));
      if (stdin !== undefined) writeFileSync(join(folder, "stdin"), stdin);
      return {
        module: build(),
        args,
        stdin: stdin === undefined ? undefined : join(folder, "stdin"),
        preopens: files === undefined ? [] : [{ host: data, guest: "/data" }],
      };
    },
  }));

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
  let [total, programs] = [0, 0];
  for (const program of selected) {
    const jobs = values.jobs === undefined ? {} : { jobs: Number(values.jobs) };
    const failures = await soak(program, { failures: share, seed: Number(values.seed), mostFindings: 3, ...jobs });
    if (failures === undefined) continue;
    total += failures;
    programs++;
  }
  console.log(`soak: ${total} failures of ${programs} programs, ${process.exitCode === 1 ? "some" : "none"} differ`);
}

await main();
