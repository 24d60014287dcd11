/**
 * The explorer's own search, with the image writer as its subject: not any mix of what was lost, as in power-cut.test.ts,
 * but the states of its file model (pmem/file-model.ts), systematically, equal ones once, and a finding with as little lost
 * as still breaks the image.
 */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { lostFiles, survivingFiles, survivingFilesNamed } from "../../../pmem/surviving-files.js";
import { allowed, GENERATIONS, type Life, live, liveWithCommits, liveWithPoints, reopen } from "./image-lives.js";
import { filesOf, mildest, RecordedFiles } from "./recorded-files.js";
import { type Operation, Recorder } from "./simulated-disk.js";
import { scratchDirectory } from "./support.js";

const STATES_PER_POINT = 64;

interface Finding {
  readonly event: number;
  readonly outcome: string;
  readonly lost: readonly string[];
}

interface Exploration {
  readonly points: number;
  readonly states: number;
  readonly outcomes: ReadonlySet<string>;
  readonly finding: Finding | undefined;
}

class ImageExplorer {
  readonly #life: Life;
  readonly #path = join(scratchDirectory(), "remains");
  readonly #seen = new Set<string>();
  readonly #outcomes = new Set<string>();
  #points = 0;

  constructor(life: Life) {
    this.#life = life;
  }

  explore(): Exploration {
    const { operations } = this.#life;
    const files = new RecordedFiles();
    let finding: Finding | undefined;
    for (let event = 0; event <= operations.length && finding === undefined; event++) {
      if (isPoint(operations[event])) finding = this.#look(files, event);
      const operation = operations[event];
      if (operation !== undefined) files.apply(operation);
    }
    return { points: this.#points, states: this.#seen.size, outcomes: this.#outcomes, finding };
  }

  #look({ model }: RecordedFiles, event: number): Finding | undefined {
    this.#points++;
    const expected = allowed(this.#life.operations.slice(0, event), false);
    for (const { choice, digest, tree } of survivingFiles(model, STATES_PER_POINT, event)) {
      const key = `${digest} ${expected}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      if (expected.test(this.#outcome(tree))) continue;
      const least = mildest(model, choice, (milder) => !expected.test(this.#outcome(milder)));
      const outcome = this.#outcome(survivingFilesNamed(model, least).tree);
      return { event, outcome, lost: lostFiles(model, least) };
    }
    return undefined;
  }

  #outcome(tree: Parameters<typeof filesOf>[0]): string {
    const outcome = this.#reopened(tree);
    this.#outcomes.add(outcome);
    return outcome;
  }

  /** What must never be is an outcome, too. */
  #reopened(tree: Parameters<typeof filesOf>[0]): string {
    try {
      return reopen(this.#path, { files: filesOf(tree), regions: new Map() }, this.#life.memories);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

/** Between two flushes the possible states only grow (Q2 in restart-search.ts); a mark is a promise. */
function isPoint(next: Operation | undefined): boolean {
  return next === undefined || next.kind === "sync" || next.kind === "syncDirectory" || next.kind === "mark";
}

const LIVES = [
  ["saves and resumes", live],
  ["persistence points", liveWithPoints],
  ["commits while the guest runs, a history", liveWithCommits],
] as const;

describe.each(LIVES)("the image writer explored: %s", (_, liveOn) => {
  test("every state leaves the previous epoch or the next one", { timeout: 120_000 }, async () => {
    const { points, states, outcomes, finding } = new ImageExplorer(await liveOn(new Recorder())).explore();
    expect(finding).toBeUndefined();
    expect(points).toBeGreaterThan(30);
    expect(states).toBeGreaterThan(200);
    for (let epoch = 1; epoch <= GENERATIONS; epoch++) expect(outcomes).toContain(`epoch ${epoch}`);
  });
});

describe("an image writer with a planted mistake", () => {
  const syncOf = (name: RegExp) => (it: Operation) => it.kind === "sync" && name.test(it.name);
  test.each<[string, (it: Operation) => boolean, lost: RegExp]>([
    ["pages are not flushed", syncOf(/^pages-0$/), / of pages-0/],
    ["state files are not flushed", syncOf(/^state-/), / of state-/],
    ["the first header is not flushed", syncOf(/^header\.new$/), / of header/],
    ["the module is not flushed", syncOf(/^module\.wasm$/), / of module\.wasm/],
  ])("%s: found, and only that is lost", async (_, omits, lost) => {
    const { finding } = new ImageExplorer(await live(new Recorder(omits))).explore();
    expect(finding?.lost).toEqual([expect.stringMatching(lost)]);
  });
});
