/**
 * What does a host call cost, next to node:wasi and wasmtime?
 *
 *     node dist/benchmarks/host-calls.js [--count N] [--rounds N] [--wasmtime PATH]
 *
 * One guest (host-calls/guest.c, compiled here by clang with wasi-libc), one process per measurement, the runtimes
 * interleaved within each round, medians. The guest measures itself, so starting is not in the figures; warming up is.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const KINDS = ["write", "read", "stat", "stat-deep", "fstat", "seek", "open-close", "monotonic", "realtime", "random"];
const root = fileURLToPath(new URL("../..", import.meta.url));

interface Runtime {
  readonly name: string;
  readonly command: (directory: string, image: string) => readonly string[];
}

function first(...commands: string[]): string | undefined {
  return commands.find((command) => spawnSync(command, ["--version"]).status === 0);
}

function runtimes(wasmtime: string): Runtime[] {
  const node = process.execPath;
  const all: Runtime[] = [
    {
      name: "vermilion",
      command: (directory, image) => [
        ...[node, join(root, "dist/runtime/cli/main.cjs"), "run", "--quiet", "--fresh", "--image", image],
        ...["--dir", `${directory}::/`],
      ],
    },
    {
      name: "node:wasi", // its fast API calls crash at random on Node 20 and 22
      command: (directory) => [
        ...[node, "--no-warnings", "--no-turbo-fast-api-calls", join(root, "tests/support/run-node-wasi.mjs")],
        ...["--dir", `${directory}::/`],
      ],
    },
  ];
  if (first(wasmtime) !== undefined) {
    all.push({ name: "wasmtime", command: (directory) => [wasmtime, "run", "--dir", `${directory}::/`] });
  }
  return all;
}

/** Nanoseconds a call. */
function measure(runtime: Runtime, guest: string, kind: string, count: number): number {
  const scratch = mkdtempSync(join(tmpdir(), "vermilion-host-calls-"));
  try {
    const directory = join(scratch, "root");
    mkdirSync(directory);
    const [command, ...args] = runtime.command(directory, join(scratch, "image"));
    const { status, stdout, stderr } = spawnSync(command ?? "", [...args, guest, kind, String(count)], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`${runtime.name}: ${kind}: status ${status}: ${stderr}`);
    return Number(stdout) / count;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function main(): void {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "1000000" },
      rounds: { type: "string", default: "5" },
      wasmtime: { type: "string", default: "wasmtime" },
    },
  });
  const clang = first("clang-19", "clang");
  if (clang === undefined) {
    console.error("host-calls: needs clang with a wasm32-wasi sysroot (Debian: clang-19 lld-19 wasi-libc)");
    process.exit(1);
  }
  const guest = join(mkdtempSync(join(tmpdir(), "vermilion-host-calls-")), "guest.wasm");
  const source = join(root, "benchmarks/host-calls/guest.c");
  const compiled = spawnSync(clang, ["--target=wasm32-wasi", "-O2", source, "-o", guest], { encoding: "utf8" });
  if (compiled.status !== 0) throw new Error(compiled.stderr);
  const all = runtimes(values.wasmtime);
  console.log(`Node ${process.versions.node}, ${cpus()[0]?.model}, ${values.count} calls, ${values.rounds} rounds`);
  console.log(["ns a call", ...all.map(({ name }) => name)].map((cell) => cell.padEnd(14)).join(""));
  for (const kind of KINDS) {
    const samples = all.map((): number[] => []);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [index, runtime] of all.entries()) {
        samples[index]?.push(measure(runtime, guest, kind, Number(values.count)));
      }
    }
    const medians = samples.map(median);
    const ours = medians[0] ?? Number.NaN;
    const cells = medians.map((value, index) =>
      index === 0 ? value.toFixed(0) : `${value.toFixed(0)} (${(ours / value).toFixed(2)})`,
    );
    console.log([kind, ...cells].map((cell) => cell.padEnd(14)).join(""));
  }
  rmSync(join(guest, ".."), { recursive: true, force: true });
}

main();
