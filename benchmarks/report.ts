/** What all benchmarks share: statistics, what the machine is, and where results are kept. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function findRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package-lock.json"))) return folder;
    if (folder === dirname(folder)) throw new Error("benchmarks need the repository around them");
  }
}

export const root = findRoot();

/** Of an even count, the mean of the two in the middle; of nothing, NaN. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The smallest value that `share` of all values do not exceed; with few values p99 is the worst. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** The first column to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  ");
  return rows.map((row) => line(row).trimEnd()).join("\n");
}

const FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x01021994, "tmpfs"],
  [0xef53, "ext4"],
  [0x58465342, "xfs"],
  [0x9123683e, "btrfs"],
  [0x794c7630, "overlayfs"],
]);

/** Of the directory: its name as statfs(2) has it. */
export function fileSystemOf(directory: string): string {
  const { type } = statfsSync(directory);
  return FILE_SYSTEMS.get(type) ?? `0x${type.toString(16)}`;
}

function git(...args: string[]): string {
  return execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
}

/** The commit, with "+" if what the product is built from differs from it; "unknown" outside a clone. */
function commit(): string {
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no", "--", "runtime", "pmem") !== "";
    return git("rev-parse", "HEAD") + (changed ? "+" : "");
  } catch {
    return "unknown";
  }
}

export interface Surroundings {
  readonly node: string;
  readonly v8: string;
  readonly commit: string;
  readonly processor: string;
  readonly processors: number;
  readonly memoryGibibytes: number;
  readonly kernel: string;
  /** One minute's average when the benchmark began: above 1 the figures are not to be trusted. */
  readonly load: number;
  readonly startedAt: string;
}

export function describeSurroundings(): Surroundings {
  return {
    node: process.versions.node,
    v8: process.versions.v8,
    commit: commit(),
    processor: cpus()[0]?.model ?? "unknown",
    processors: cpus().length,
    memoryGibibytes: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    load: Number((loadavg()[0] ?? Number.NaN).toFixed(2)),
    startedAt: new Date().toISOString(),
  };
}

export function headline({ node, commit: id, processor, processors, load }: Surroundings): string {
  return `Node ${node}, commit ${id.slice(0, 8)}${id.endsWith("+") ? "+" : ""}, ${processors} x ${processor}, load ${load}`;
}

/** One file a day and Node version. */
export function resultsPath({ startedAt, node }: Surroundings): string {
  return join(root, "benchmarks", "results", `${startedAt.slice(0, 10)}-node${node}.json`);
}

/** A key a benchmark, so that the benchmarks can run one after the other. Returns the path. `output`: another file instead. */
export function writeResults(benchmark: string, surroundings: Surroundings, data: object, output?: string): string {
  const path = output ?? resultsPath(surroundings);
  const before: object = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as object) : {};
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ ...before, [benchmark]: { ...surroundings, ...data } }, null, 2)}\n`);
  return path;
}
