/** docs/benchmarks.md between its two marks, and the plots beside it: from the newest results of each Node version. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { headline, median, root } from "../report.js";
import { missing, table } from "./markdown.js";
import { memcachedPart } from "./memcached.js";
import { plotOverhead, plotRivals } from "./plots.js";
import {
  meanRatio,
  newestResults,
  type Overhead,
  type Points,
  type Results,
  type Rivals,
  ratioOf,
  type SaveAndResume,
  summaryOf,
} from "./results.js";
import { scalingPart } from "./scaling.js";

const BEGIN = "<!-- written by npm run bench: begin -->";
const END = "<!-- written by npm run bench: end -->";
const page = join(root, "docs", "benchmarks.md");
const pictures = join(root, "docs", "benchmarks");

function picture(name: string, svg: string, about: string): string {
  mkdirSync(pictures, { recursive: true });
  writeFileSync(join(pictures, `${name}.svg`), svg);
  return `![${about}](benchmarks/${name}.svg)`;
}

const SECTIONS = [
  ["overhead", "runs of about 2 s and more"],
  ["short", "runs of about 0.1 to 0.3 s"],
  ["optimized", "everything optimised on both sides"],
] as const;

/** One line a Node version and a kind of run. */
function summaries(all: ReadonlyMap<number, { readonly results: Results }>): string {
  const rows = [...all].flatMap(([major, { results }]) =>
    SECTIONS.flatMap(([key, about]) => {
      const overhead = results[key];
      const summary = overhead && summaryOf(overhead, "vermilion");
      if (overhead === undefined || summary === undefined) return [];
      const { mean, worst, programs, leastRuns } = summary;
      const kinds = ["kernel", "interpreter"].map((kind) => summaryOf(overhead, "vermilion", kind)?.mean);
      return [
        [
          ...[`Node ${major}, ${about}`, mean.toFixed(3), ...kinds.map((each) => each?.toFixed(3) ?? "-")],
          ...[`${worst.ratio.toFixed(2)} (${worst.name})`, String(programs), String(leastRuns)],
          String(overhead.load),
        ],
      ];
    }),
  );
  const head = ["Ratio to the plain module", "geometric mean", "kernels", "interpreters", "worst"];
  return table([[...head, "programs", "runs at least", "load"], ...rows]);
}

function overheadTable(overhead: Overhead, variants: readonly string[]): string {
  const rows = overhead.programs.map((program) => {
    const plain = (program.milliseconds["plain"] ?? []).map(({ wall }) => wall);
    const cells = variants.map((variant) => {
      const ratio = ratioOf(program, variant);
      return ratio === undefined
        ? "-"
        : `${ratio.middle.toFixed(2)} (${ratio.low.toFixed(2)}–${ratio.high.toFixed(2)})`;
    });
    return [program.name, String(plain.length), (median(plain) / 1000).toFixed(2), ...cells];
  });
  return table([["Program", "runs", "plain, s", ...variants], ...rows]);
}

async function overheadPart(results: Results): Promise<string> {
  const parts: string[] = [];
  for (const [key, about] of SECTIONS) {
    const overhead = results[key];
    if (overhead === undefined) continue;
    const svg = await plotOverhead(overhead, ["vermilion"], `Vermilion: ${about}`);
    parts.push(
      `### Overhead: ${about}\n\nRatios of medians, and in parentheses the quartiles of neighbouring runs' ratios.`,
      picture(`${key}`, svg, `Overhead, ${about}: one point a program`),
      `<details><summary>All programs</summary>\n\n${overheadTable(overhead, ["vermilion"])}\n${missing(overhead.skipped)}\n</details>`,
    );
  }
  return parts.join("\n\n");
}

async function enginesPart({ engines }: Results): Promise<string> {
  if (engines === undefined) return "";
  const variants = ["vermilion", "asyncify", "wasmtime"];
  const svg = await plotOverhead(engines, variants, "Vermilion, Asyncify and wasmtime");
  const means = variants.map((variant) => [variant, summaryOf(engines, variant)] as const);
  const words = means.map(([variant, summary]) =>
    summary === undefined ? `${variant} -` : `${variant} ${summary.mean.toFixed(2)} (${summary.programs} programs)`,
  );
  return [
    `### Asyncify and wasmtime\n\nGeometric means: ${words.join(", ")}. wasmtime's times are those of its whole process.`,
    picture("engines", svg, "Vermilion, Asyncify and wasmtime, ratio to the plain module"),
    `${overheadTable(engines, variants)}\n${missing(engines.skipped)}`,
  ].join("\n\n");
}

const STRUCTURES = ["list", "hash", "tree"];
const STRUCTURE_WAYS = [
  ...["native, nothing kept", "wasm, nothing kept", "vermilion", "libpmemobj", "libpmemobj, no flushes"],
  ...["libpmemobj, msync", "undo log", "failure-atomic"],
];
const DATABASE_WAYS = ["native, journal", "native, WAL", "native, in memory", "guest, journal", "guest, in memory"];

function rivalTable({ experiments }: Rivals, ways: readonly string[]): string {
  const rows = experiments
    .filter(({ nanoseconds }) => ways.some((way) => nanoseconds[way] !== undefined))
    .map(({ name, nanoseconds }) => [name, ...ways.map((way) => cell(nanoseconds[way]))]);
  return table([["ns an operation, median", ...ways], ...rows]);
}

function cell(times: readonly number[] | undefined): string {
  if (times === undefined) return "-";
  const middle = median(times);
  return middle.toFixed(middle < 100 ? 1 : 0);
}

/** What libpmemobj's time is made of, and what ours is, as multiples of the native program that keeps nothing. */
function whereItGoes(rivals: Rivals): string {
  const rows = STRUCTURES.flatMap((structure) => {
    const native = "native, nothing kept";
    const times = (way: string) => meanRatio(rivals, way, native, structure);
    const [all, logging, wasm, ours] = [
      ...["libpmemobj", "libpmemobj, no flushes", "wasm, nothing kept", "vermilion"].map(times),
    ];
    const advantage = meanRatio(rivals, "libpmemobj", "vermilion", structure);
    if ([all, logging, wasm, ours, advantage].includes(undefined)) return [];
    const shown = [all, logging, wasm, ours, advantage].map((value) => (value ?? Number.NaN).toFixed(2));
    return [[structure, ...shown]];
  });
  const head = ["Times the native program", "libpmemobj", "less its flushes", "wasm", "vermilion"];
  return table([[...head, "libpmemobj to vermilion"], ...rows]);
}

async function rivalsPart({ rivals }: Results): Promise<string> {
  if (rivals === undefined) return "";
  const advantage = meanRatio(rivals, "libpmemobj", "vermilion");
  const about = Object.entries(rivals.about).map(([name, text]) => `- **${name}**: ${text}`);
  const svg = await plotRivals(rivals, [...STRUCTURE_WAYS, ...DATABASE_WAYS], "Ways to keep 64-byte values");
  return [
    `### Rivals\n\nOver all structures and shares of inserts libpmemobj takes ${advantage?.toFixed(2) ?? "-"} times as long as Vermilion (geometric mean; the aim is 5.24).`,
    picture("rivals", svg, "Nanoseconds an operation for each way to persist"),
    rivalTable(rivals, STRUCTURE_WAYS),
    whereItGoes(rivals),
    rivalTable(rivals, DATABASE_WAYS),
    `${about.join("\n")}\n${missing(rivals.skipped)}`,
  ].join("\n\n");
}

function savePart(saves: SaveAndResume | undefined): string {
  if (saves === undefined) return "";
  const rows = saves.results.map((each) => {
    const { heapMebibytes, depth, touched, fileSystem, events, save, resume, resumeInProcess } = each;
    const times = [save["total"], save["beyondFlush"], resume, resumeInProcess].map((value) =>
      value === undefined ? "-" : `${value.p50.toFixed(1)} / ${value.p99.toFixed(1)}`,
    );
    return [
      `${heapMebibytes} MiB ${touched ? "touched" : "clean"}, ${depth} deep, ${fileSystem}`,
      String(events),
      ...times,
    ];
  });
  const head = ["Milliseconds, median / 99th percentile", "events", "save", "without the disk", "resume", "in process"];
  return `### Save and resume\n\n${table([head, ...rows])}\n${missing(saves.skipped)}`;
}

function pointsPart(points: Points | undefined): string {
  if (points === undefined) return "";
  const rows = points.findings.map(({ what, unit, value, samples, aim }) => {
    const decimals = unit === "ms" ? 1 : 3;
    const judged = aim === null ? "" : `${aim} ${unit === "ms" ? "ms " : ""}${value <= aim ? "met" : "missed"}`;
    return [what, unit === "ms" ? `${value.toFixed(decimals)} ms` : value.toFixed(decimals), judged, String(samples)];
  });
  const about = `${headline(points)}, ${points.fileSystem}, ${points.runs} rounds.`;
  const all = table([["Ratios are those of medians", "measured", "aim, at most", "samples"], ...rows]);
  return `### Points, log, forks, recoveries\n\n${about}\n\n${all}\n${missing(points.skipped)}`;
}

/** Writes the page's part and its pictures. */
export async function writePage(): Promise<void> {
  const all = newestResults();
  const [first] = all.values();
  if (first === undefined) throw new Error("benchmarks/results: there is nothing to write a page from yet");
  const sources = [...all].map(([major, { file, results }]) => {
    const run = Object.values(results).find((section) => section !== undefined);
    return `- Node ${major}: [${file}](../benchmarks/results/${file}), ${run === undefined ? "" : headline(run)}`;
  });
  // The pictures and long tables are those of the oldest supported version; the others have a line each.
  const { results } = first;
  const parts = [
    `The files that this part was written from:\n\n${sources.join("\n")}`,
    summaries(all),
    await overheadPart(results),
    await enginesPart(results),
    await rivalsPart(results),
    memcachedPart(results.memcached),
    savePart(results.saveAndResume),
    pointsPart(results.points),
    await scalingPart(results.scaling, picture),
  ];
  const text = readFileSync(page, "utf8");
  const [before, rest] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`${page}: has not both "${BEGIN}" and "${END}"`);
  const body = parts.filter((part) => part !== "").join("\n\n");
  writeFileSync(page, `${before}${BEGIN}\n\n${body}\n\n${END}${after}`);
}
