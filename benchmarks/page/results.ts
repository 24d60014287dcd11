/** The results of a run as they stand in its file, and what is computed from them. A section that did not run is absent. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Measurement } from "../memcached/measurement.js";
import type { Finding } from "../points/findings.js";
import { geometricMean, median, percentile, root, type Surroundings } from "../report.js";
import type { Distribution, Series } from "../scaling/series.js";

export interface OverheadProgram {
  readonly name: string;
  readonly about?: string;
  readonly kind: string;
  readonly milliseconds: Readonly<Record<string, readonly { readonly wall: number; readonly cpu: number | null }[]>>;
  readonly missing: Readonly<Record<string, string>>;
}

export interface Overhead extends Surroundings {
  readonly runs: number;
  readonly fileSystem: string;
  readonly programs: readonly OverheadProgram[];
  readonly skipped: Readonly<Record<string, string>>;
}

export interface Rivals extends Surroundings {
  readonly runs: number;
  readonly about: Readonly<Record<string, string>>;
  readonly experiments: readonly {
    readonly name: string;
    readonly operations: number;
    readonly nanoseconds: Readonly<Record<string, readonly number[]>>;
  }[];
  readonly skipped: Readonly<Record<string, string>>;
}

export interface Memcached extends Surroundings {
  readonly runs: number;
  readonly operations: number;
  readonly connections: number;
  readonly fileSystem: string;
  readonly about: Readonly<Record<string, string>>;
  readonly experiments: readonly {
    readonly name: string;
    readonly measurements: Readonly<Record<string, readonly Measurement[]>>;
  }[];
  readonly skipped: Readonly<Record<string, string>>;
}

export interface Percentiles {
  readonly least: number;
  readonly p50: number;
  readonly p99: number;
}

export interface SaveAndResume extends Surroundings {
  readonly results: readonly {
    readonly fileSystem: string;
    readonly heapMebibytes: number;
    readonly depth: number;
    readonly touched: boolean;
    readonly events: number;
    readonly save: Readonly<Record<string, Percentiles>>;
    readonly resume: Percentiles;
    readonly resumeInProcess: Percentiles;
  }[];
  readonly skipped: Readonly<Record<string, string>>;
}

export interface Scaling extends Surroundings {
  readonly series: readonly Series[];
  readonly distributions: readonly Distribution[];
  readonly skipped: Readonly<Record<string, string>>;
}

export interface Points extends Surroundings {
  readonly runs: number;
  readonly fileSystem: string;
  readonly findings: readonly Finding[];
  readonly skipped: Readonly<Record<string, string>>;
}

export interface Results {
  readonly overhead?: Overhead;
  readonly short?: Overhead;
  readonly optimized?: Overhead;
  readonly engines?: Overhead;
  readonly rivals?: Rivals;
  readonly memcached?: Memcached;
  readonly saveAndResume?: SaveAndResume;
  readonly scaling?: Scaling;
  readonly points?: Points;
}

const folder = join(root, "benchmarks", "results");

/** A path, or a name in benchmarks/results. */
export function readResults(name: string): Results {
  const path = [name, join(folder, name), join(folder, `${name}.json`)].find((each) => existsSync(each));
  if (path === undefined)
    throw new Error(`${name}: no such file of results; benchmarks/results has ${readdirSync(folder).join(", ")}`);
  return JSON.parse(readFileSync(path, "utf8")) as Results;
}

/** The newest results of each major version of Node, by version. */
export function newestResults(): ReadonlyMap<number, { readonly file: string; readonly results: Results }> {
  const newest = new Map<number, string>();
  for (const name of readdirSync(folder).toSorted()) {
    const major = /^\d{4}-\d\d-\d\d-node(\d+)\.\d+\.\d+\.json$/.exec(name)?.[1];
    if (major !== undefined) newest.set(Number(major), name);
  }
  const versions = [...newest].toSorted(([a], [b]) => a - b);
  return new Map(versions.map(([major, file]) => [major, { file, results: readResults(file) }]));
}

export interface Ratio {
  /** Of the medians. */
  readonly middle: number;
  /** Quartiles of the ratios of runs that stood next to each other. */
  readonly low: number;
  readonly high: number;
  readonly runs: number;
}

/** Wall-clock time of a variant to that of the plain module; undefined where either was not measured. */
export function ratioOf({ milliseconds }: OverheadProgram, variant: string): Ratio | undefined {
  const plain = (milliseconds["plain"] ?? []).map(({ wall }) => wall);
  const other = (milliseconds[variant] ?? []).map(({ wall }) => wall);
  if (plain.length === 0 || other.length === 0) return undefined;
  const pairs = other.slice(0, plain.length).map((value, i) => value / (plain[i] ?? Number.NaN));
  return {
    middle: median(other) / median(plain),
    low: percentile(pairs, 0.25),
    high: percentile(pairs, 0.75),
    runs: other.length,
  };
}

export interface Summary {
  readonly mean: number;
  readonly worst: { readonly name: string; readonly ratio: number };
  readonly programs: number;
  readonly leastRuns: number;
}

/** Geometric mean and worst over all programs that the variant ran. */
export function summaryOf(overhead: Overhead, variant: string, kind?: string): Summary | undefined {
  const ratios = overhead.programs
    .filter((program) => kind === undefined || program.kind === kind)
    .flatMap((program) => {
      const ratio = ratioOf(program, variant);
      return ratio === undefined ? [] : [{ name: program.name, ...ratio }];
    });
  const worst = ratios.toSorted((a, b) => b.middle - a.middle)[0];
  if (worst === undefined) return undefined;
  return {
    mean: geometricMean(ratios.map(({ middle }) => middle)),
    worst: { name: worst.name, ratio: worst.middle },
    programs: ratios.length,
    leastRuns: Math.min(...ratios.map(({ runs }) => runs)),
  };
}

/** How often the time of a way contains that of another: the geometric mean over the experiments that both ran. */
export function meanRatio(rivals: Rivals, way: string, to: string, matching = ""): number | undefined {
  const ratios = rivals.experiments
    .filter(({ name }) => name.startsWith(matching))
    .flatMap(({ nanoseconds }) => {
      const [a, b] = [nanoseconds[way], nanoseconds[to]];
      return a === undefined || b === undefined ? [] : [median(a) / median(b)];
    });
  return ratios.length === 0 ? undefined : geometricMean(ratios);
}

/** The slope of a line through the logarithms: 1 is linear, 0 constant. */
export function slopeOf(points: readonly { readonly x: number; readonly y: readonly number[] }[]): number {
  const logs = points.map(({ x, y }) => [Math.log(x), Math.log(median(y))] as const);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [mx, my] = [mean(logs.map(([x]) => x)), mean(logs.map(([, y]) => y))];
  const above = logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  return above / logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}
