/** The rest of the workload set: measured by the benchmarks, tested when named. */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { cached } from "../build-cache.js";
import { debianSource } from "../packages.js";
import { script, source, support } from "../paths.js";
import type { Program } from "../program.js";
import { runCommand } from "../run-command.js";
import { clangxx, go } from "../toolchains.js";
import { compile } from "./c-program.js";
import { buildLua, buildSqliteWith } from "./third-party.js";
import { buildRuby } from "./toolchain.js";

const measuredOnly = true;

/** One module, several programs: the first argument says which. */
function family(
  name: string,
  about: string,
  members: Readonly<Record<string, readonly [short: number, long: number]>>,
  options: readonly string[] = ["-O2"],
): Program[] {
  return Object.entries(members).map(([member, [short, long]]) => ({
    name: `${name}-${member}`,
    about: `${about}: ${member}`,
    kind: "kernel",
    measuredOnly,
    build: () => compile(name, { options, sources: [source(`${name}.c`)] }),
    test: { args: [member, String(short)] },
    benchmark: { args: [member, String(long)] },
  }));
}

/** Repetitions that take about 2.4 s. */
const POLYHEDRAL = {
  ...{ "2mm": 30, "3mm": 22, adi: 80, atax: 220, bicg: 300, cholesky: 300, correlation: 70, covariance: 70 },
  ...{ deriche: 90, doitgen: 400, durbin: 330, "fdtd-2d": 180, "floyd-warshall": 75, gemm: 66, gemver: 170 },
  ...{ gesummv: 320, gramschmidt: 35, "heat-3d": 66, "jacobi-1d": 700, "jacobi-2d": 190, lu: 170, ludcmp: 170 },
  ...{ mvt: 210, nussinov: 200, "seidel-2d": 55, symm: 56, syr2k: 58, syrk: 120, trisolv: 500, trmm: 78 },
};

const polyhedral = Object.fromEntries(
  Object.entries(POLYHEDRAL).map(([name, count]) => [name, [Math.ceil(count / 12), count] as const]),
);

/** zlib's own sources are in one folder; those of its gzip files want calls that WASI has not. */
function buildZlib(): string {
  const folder = debianSource("zlib", []);
  const names = readdirSync(folder).filter((name) => name.endsWith(".c") && !name.startsWith("gz"));
  return compile("zlib", {
    options: ["-O2", "-w", `-I${folder}`],
    sources: [source("zlib-workload.c"), ...names.map((name) => join(folder, name))],
  });
}

/** SQLite's own speed test, with a clock that stands still, so that every run prints the same. */
function buildSpeedTest(): string {
  const folder = join(debianSource("sqlite3", ["*/test/speedtest1.c"]), "test");
  return buildSqliteWith("sqlite-speed", support("sqlite-speed-port.c"), [`-I${folder}`]);
}

function buildAllocations(): string {
  return compile("allocations", {
    toolchain: clangxx,
    options: ["-O2", "-std=c++20", "-fno-exceptions"],
    sources: [source("allocations.cpp")],
  });
}

function buildGoWorkload(): string {
  const path = source("go-workload.go");
  const { command, version } = go();
  return cached("modules", "go-workload.wasm", { words: [...command, version], files: [path] }, (output) => {
    runCommand([...command, "-o", output, path], { cwd: dirname(path) });
  });
}

function game(
  language: "lua" | "ruby",
  build: () => string,
  members: Readonly<Record<string, readonly [short: number, long: number]>>,
): Program[] {
  const file = language === "lua" ? "benchmark-game.lua" : "benchmark-game.rb";
  const options = language === "lua" ? [] : ["-W0", "--disable-gems"];
  const workload = (member: string, count: number) => ({
    args: [...options, `/data/${file}`, member, String(count)],
    files: { [file]: script(file) },
  });
  return Object.entries(members).map(([member, [short, long]]) => ({
    name: `${language}-${member}`,
    about: `${language}: ${member}`,
    kind: "interpreter",
    measuredOnly,
    ...(language === "lua" ? { legacyExceptions: true } : { slow: true }),
    build,
    test: workload(member, short),
    benchmark: workload(member, long),
  }));
}

export const measuredPrograms: readonly Program[] = [
  ...family("polyhedral", "loops over arrays", polyhedral),
  ...family("calls", "mostly calls", {
    ackermann: [30, 400],
    tak: [500, 8000],
    queens: [14, 15],
    dispatch: [30_000_000, 400_000_000],
  }),
  ...family("sorts", "sorting without callbacks", {
    quick: [300_000, 5_000_000],
    merge: [250_000, 5_000_000],
    heap: [200_000, 1_800_000],
    radix: [1_000_000, 12_000_000],
  }),
  ...family("strings", "text", {
    search: [100, 900],
    words: [100, 1500],
    base64: [150, 2000],
    format: [40, 450],
    checksum: [300, 4000],
  }),
  ...family("memory", "memory traffic", { copy: [40, 800], triad: [60, 1600], chase: [2, 12], scatter: [6, 60] }),
  {
    name: "b-tree",
    about: "a B-tree: comparisons, moves, small blocks",
    kind: "kernel",
    measuredOnly,
    build: () => compile("b-tree", { sources: [source("b-tree.c")] }),
    test: { args: ["100000"] },
    benchmark: { args: ["1000000"] },
  },
  {
    name: "zlib",
    about: "zlib: deflate and inflate",
    kind: "kernel",
    measuredOnly,
    build: buildZlib,
    test: { args: ["6"] },
    benchmark: { args: ["55"] },
  },
  {
    name: "allocations",
    about: "C++: strings, maps and trees on the heap",
    kind: "kernel",
    measuredOnly,
    build: buildAllocations,
    test: { args: ["6"] },
    benchmark: { args: ["80"] },
  },
  {
    name: "go-workload",
    about: "Go: maps, sorting, channels, garbage",
    kind: "kernel",
    measuredOnly,
    build: buildGoWorkload,
    test: { args: ["6"] },
    benchmark: { args: ["60"] },
  },
  {
    name: "sqlite-speed",
    about: "SQLite's own speed test, on a database in memory",
    kind: "interpreter",
    measuredOnly,
    build: buildSpeedTest,
    test: { args: [":memory:", "--size", "5"] },
    benchmark: { args: [":memory:", "--size", "50"] },
  },
  ...game("lua", buildLua, {
    "binary-trees": [12, 16],
    fannkuch: [8, 9],
    "n-body": [25_000, 250_000],
    "spectral-norm": [200, 750],
    "k-nucleotide": [120_000, 1_500_000],
  }),
  ...game("ruby", buildRuby, {
    "binary-trees": [9, 14],
    fannkuch: [7, 9],
    mandelbrot: [40, 200],
    "spectral-norm": [40, 200],
  }),
];
