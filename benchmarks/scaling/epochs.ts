/**
 * What more epochs cost: one image whose guest makes points of its own asking, all of which are kept. At 1, 10, 100 ... of them:
 * one more point, a resume (from the start of `vermilion resume`, less Node's own), the first point behind it, a point when
 * as many are kept as may be and each new one drops the oldest, the history, dropping one, a fork, collecting, and the space.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Images } from "../../runtime/index.js";
import { commandLine } from "../../tests/corpus/paths.js";
import { guestModule, within } from "../points/running.js";
import { nodeStart } from "../save-and-resume/events.js";
import { isOver, MILLISECONDS, type Question, type Sink, type Sizes, upTo } from "./series.js";

const KEPT = "epochs kept";
const ALL = "1000000000";
const EVENTS = 3;

/** The guest in its image, between a start or resume and its next power failure. */
class Running {
  readonly #child: ChildProcess;
  #output = "";
  #changed: () => void = () => {};

  private constructor(words: readonly string[]) {
    this.#child = spawn(process.execPath, [commandLine, ...words], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.#output += chunk.toString();
      this.#changed();
    });
    this.#child.on("close", () => this.#changed());
  }

  /** Once it has said that it is ready: milliseconds from the start of the command. */
  static async begin(words: readonly string[]): Promise<{ guest: Running; milliseconds: number }> {
    const startedAt = performance.now();
    const guest = new Running(words);
    await guest.#until(/^r/);
    return { guest, milliseconds: performance.now() - startedAt };
  }

  /** Makes so many points: milliseconds of the last ones, median and longest. */
  async points(count: number): Promise<{ median: number; longest: number }> {
    this.#child.stdin?.write(`${count}\n`);
    const [, median, longest] = await this.#until(/^(\d+) (\d+)\n/);
    return { median: Number(median) / 1e6, longest: Number(longest) / 1e6 };
  }

  /** The power fails: one more epoch. */
  async cut(): Promise<void> {
    const closed = once(this.#child, "close");
    this.#child.kill("SIGPWR");
    await closed;
  }

  async #until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#output);
      if (found !== null) {
        this.#output = this.#output.slice(found[0].length);
        return found;
      }
      if (this.#child.exitCode !== null) throw new Error(`the guest ended with status ${this.#child.exitCode}`);
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

function diskBytes(image: string): number {
  const names = readdirSync(image).filter((name) => name.startsWith("pages-") || name.startsWith("state-"));
  return names.reduce((sum, name) => sum + 512 * statSync(join(image, name)).blocks, 0);
}

async function measureAt(image: string, count: number, sizes: Sizes, sink: Sink): Promise<void> {
  const add = (name: string, expected: "constant" | "linear", y: string, ...values: readonly number[]) =>
    sink.add({ name, x: KEPT, y, expected }, count, ...values);
  const history = await Images.history(image);
  for (let event = 0; event < EVENTS; event++) {
    const node = await nodeStart();
    const { guest, milliseconds } = await Running.begin(["resume", "--quiet", image]);
    add("Resume, epochs kept", "constant", `${MILLISECONDS}, less Node's start`, milliseconds - node);
    add("First point of a run, epochs kept", "constant", MILLISECONDS, (await guest.points(1)).median);
    await guest.cut();
  }
  const { guest } = await Running.begin(["resume", "--quiet", "--keep", String(count), image]);
  await guest.points(2); // drops what is too many
  add("Point that drops the oldest epoch", "constant", MILLISECONDS, (await guest.points(50)).median);
  await guest.cut();
  for (let event = 0; event < (count > 10_000 ? 1 : EVENTS); event++) {
    add("History", "linear", MILLISECONDS, await timed(() => Images.history(image)));
    const fork = join(sizes.directory, `vermilion-scaling-fork-${process.pid}`);
    add("Fork, epochs kept", "constant", MILLISECONDS, await timed(() => Images.fork(image, fork)));
    rmSync(fork, { recursive: true, force: true });
    add("Collecting, with nothing to drop", "linear", MILLISECONDS, await timed(() => Images.collect(image)));
  }
  add("Space of an epoch", "constant", "bytes on the disk", diskBytes(image) / history.length);
  const [oldest] = await Images.history(image);
  if (oldest === undefined || oldest.current) return;
  add("Dropping one epoch", "constant", MILLISECONDS, await timed(() => Images.drop(image, oldest.epoch)));
}

export const epochs: Question = {
  name: "epochs",
  once: true,
  async round(sizes, sink) {
    await within(sizes.directory, async (scratch) => {
      const image = join(scratch, "image");
      let words = ["run", "--quiet", "--keep", ALL, "--image", image, guestModule("scaling"), "epochs"];
      let made = 0;
      for (const count of upTo(sizes.quick ? 100 : 100_000, 1, 10, 100, 1000, 10_000, 100_000)) {
        if (isOver(sizes)) return;
        const { guest } = await Running.begin(words);
        words = ["resume", "--quiet", "--keep", ALL, image];
        if (count - 1 > made) {
          const { median } = await guest.points(count - 1 - made);
          sink.add({ name: "Point, epochs kept", x: KEPT, y: MILLISECONDS, expected: "constant" }, count, median);
        }
        await guest.cut(); // an epoch, too
        await measureAt(image, count, sizes, sink);
        made = (await Images.history(image)).length;
      }
    });
  },
};
