import { percentile, type Surroundings } from "../report.js";
import type { Axes, Distribution, Series, Sink } from "./series.js";

/** All that was measured, in the order in which it was first added. */
export class Answers {
  readonly skipped = new Map<string, string>();
  readonly #commit: string;
  readonly #startedAt: string;
  readonly #series = new Map<string, Series>();
  readonly #events = new Map<string, { readonly question: string; readonly milliseconds: number[] }>();

  constructor({ commit, startedAt }: Surroundings) {
    this.#commit = commit;
    this.#startedAt = startedAt;
  }

  get series(): Series[] {
    return [...this.#series.values()];
  }

  get distributions(): Distribution[] {
    const at = (values: readonly number[], share: number) => Number(percentile(values, share).toFixed(3));
    return [...this.#events].map(([what, { question, milliseconds }]) => ({
      ...{ question, commit: this.#commit, startedAt: this.#startedAt, what, events: milliseconds.length },
      ...{ p50: at(milliseconds, 0.5), p99: at(milliseconds, 0.99), p999: at(milliseconds, 0.999) },
      longest: at(milliseconds, 1),
    }));
  }

  of(question: string): Sink {
    return {
      add: (axes, x, ...y) => this.#add(question, axes, x, y),
      event: (what, ...milliseconds) => {
        const known = this.#events.get(what) ?? { question, milliseconds: [] };
        known.milliseconds.push(...milliseconds);
        this.#events.set(what, known);
      },
    };
  }

  #add(question: string, axes: Axes, x: number, y: readonly number[]): void {
    const from = { commit: this.#commit, startedAt: this.#startedAt };
    const series = this.#series.get(axes.name) ?? { ...axes, question, ...from, points: [] };
    this.#series.set(axes.name, series);
    let point = series.points.find((each) => each.x === x);
    if (point === undefined) {
      point = { x, y: [] };
      series.points.push(point);
      series.points.sort((a, b) => a.x - b.x);
    }
    point.y.push(...y.map((value) => Number(value.toPrecision(5))));
  }
}
