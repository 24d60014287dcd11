/**
 * Assertions and fixtures for vitest: `import "vermilion/testing/vitest"` in a test or a setup file. docs/testing.md
 *
 *     await expect({ module: "app.wasm" }).toSurvivePowerFailure({ budgetMilliseconds: 5000 });
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, expect } from "vitest";
import {
  describeFinding,
  describeRestartFinding,
  type ExploredRun,
  type ExploreOptions,
  explore,
  exploreRestarts,
  powerFailAt,
  type RestartExploreOptions,
} from "./index.js";

/** A program as a test names it: what `explore` takes, or the module's path alone. */
export type Program = string | ExploreOptions;

/** What is asked of the program besides; these win over the program's own. */
export type SurvivalOptions = Partial<Omit<ExploreOptions, "module">> & {
  /** Only this chain of failures, as a finding names it. */
  readonly at?: string | undefined;
};

interface MatcherResult {
  readonly pass: boolean;
  readonly message: () => string;
  readonly actual?: unknown;
  readonly expected?: unknown;
}

async function toSurvivePowerFailure(program: Program, options: SurvivalOptions = {}): Promise<MatcherResult> {
  const { at, ...others } = options;
  const all: ExploreOptions = { ...(typeof program === "string" ? { module: program } : program), ...others };
  const reference = await referenceFor(all, at);
  const { findings, tried } = reference;
  const [finding] = findings;
  if (finding === undefined) {
    return { pass: true, message: () => `${all.module}: no way was found to break it; ${tried}` };
  }
  const message = (): string =>
    [
      ...describeFinding(finding),
      `alone:  await expect(program).toSurvivePowerFailure(${JSON.stringify({ ...others, at: finding.at })})`,
    ].join("\n");
  return { pass: false, message, actual: shown(finding.run), expected: shown(reference.run) };
}

async function referenceFor(all: ExploreOptions, at: string | undefined) {
  if (at === undefined) {
    const { findings, reference, points, failures } = await explore(all);
    return { findings, run: reference, tried: `${points} crash points, ${failures} failures` };
  }
  const found = await powerFailAt(all, at);
  if (found === undefined) throw new Error(`${all.module} ends before ${at}`);
  return { findings: found.differences.length === 0 ? [] : [found], run: found.reference, tried: at };
}

/** What vitest shows the difference of. */
function shown({ ending, stdout, files }: ExploredRun): object {
  const text = new TextDecoder().decode(stdout);
  return { ending, files: Object.fromEntries(files), stdout: text.split("\n") };
}

async function toSurviveRestarts(
  program: string | RestartExploreOptions,
  options: Partial<Omit<RestartExploreOptions, "module">> = {},
): Promise<MatcherResult> {
  const all = { domain: "adr" as const, ...(typeof program === "string" ? { module: program } : program), ...options };
  const { finding, guests, points } = await exploreRestarts(all);
  if (finding === undefined) {
    const tried = `${points} crash points under ${all.domain}, ${guests} guests`;
    return { pass: true, message: () => `${all.module}: every guest found its state consistent; ${tried}` };
  }
  const alone = JSON.stringify({ ...options, domain: all.domain, at: finding.at });
  const message = (): string =>
    [...describeRestartFinding(finding), `alone:  await expect(program).toSurviveRestarts(${alone})`].join("\n");
  return { pass: false, message };
}

expect.extend({ toSurvivePowerFailure, toSurviveRestarts });

declare module "vitest" {
  interface Matchers<T> {
    /**
     * Causes power failures all over the program's run; fails at the first that it does not survive. To be awaited. Give the
     * test time: `{ timeout: 60_000 }`.
     */
    toSurvivePowerFailure(options?: SurvivalOptions): Promise<void>;
    /**
     * For a program that manages persistent memory or files itself: causes failures after which it begins again with what is
     * left of these, under the domain "adr" unless another is asked for. To be awaited.
     */
    toSurviveRestarts(options?: Partial<Omit<RestartExploreOptions, "module">>): Promise<void>;
  }
}

/** Fixtures: a test that names one in its arguments gets its own, and it is gone afterwards. */
export interface ImageFixtures {
  /** An empty directory, for a program's files. */
  readonly folder: string;
  /** Where an image may be made, in a directory of its own; nothing is there yet. */
  readonly image: string;
}

/** vitest's `test` with `folder` and `image`. */
export const test = base.extend<ImageFixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads which fixtures are needed from the pattern
  folder: async ({}, use) => {
    await inTemporaryDirectory(use);
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  image: async ({}, use) => {
    await inTemporaryDirectory((directory) => use(join(directory, "image")));
  },
});

async function inTemporaryDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "vermilion-test-"));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export { powerFailAt };
