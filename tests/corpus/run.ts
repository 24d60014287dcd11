/**
 * One run of a program, from its start to its end, through as many power failures as it meets.
 *
 * R1  Every step (`go`) is a fresh process that gets the same command line, as a user would type it again.
 * R2  stdout of the run is the stdout of its steps, one after the other: through a pipe, or in a file that each of them
 *     opens anew, at its beginning or to append; stdin is the same file, opened anew.
 * R3  The image lies in memory where the machine has such a file system: process death is tested here, not power loss.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheFolder, commandLine } from "./paths.js";
import type { Workload } from "./program.js";
import { runCommand, succeeds } from "./run-command.js";

export const SAVED = 85;

export interface Step {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** What must be the same, however often the power failed. */
export interface Result {
  readonly stdout: string;
  readonly exitCode: number | null;
  /** Path below /data: length and hash of the contents. */
  readonly files: Readonly<Record<string, string>>;
}

const inMemory = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

export class Run {
  readonly #folder = mkdtempSync(join(inMemory, "vermilion-corpus-"));
  readonly #module: string;
  readonly #workload: Workload;
  readonly #output: "pipe" | "file" | "appended";
  readonly #stdout: Buffer[] = [];
  /** Of every step so far; shown when something is wrong. */
  readonly history: string[] = [];

  constructor(module: string, workload: Workload, stdout: "pipe" | "file" | "appended" = "pipe") {
    this.#module = module;
    this.#output = stdout;
    if (stdout !== "pipe") writeFileSync(this.#stdoutFile, "");
    this.#workload = workload;
    if (workload.files !== undefined) {
      mkdirSync(this.#data);
      for (const [name, path] of Object.entries(workload.files)) copyFileSync(path, join(this.#data, name));
    }
    if (workload.stdin !== undefined) writeFileSync(this.#stdin, workload.stdin);
  }

  get #data(): string {
    return join(this.#folder, "data");
  }

  get #stdoutFile(): string {
    return join(this.#folder, "stdout");
  }

  get #stdin(): string {
    return join(this.#folder, "stdin");
  }

  #guestDirectories(): string[] {
    const data = this.#workload.files === undefined ? [] : [{ host: this.#data, guest: "/data" }];
    return [...(this.#workload.libraries?.() ?? []), ...data].flatMap(({ host, guest }) => [
      "--dir",
      `${host}::${guest}`,
    ]);
  }

  /** The next step, with failures caused by these options or by what `disturb` does to the process. */
  go(options: readonly string[] = [], disturb?: (child: ChildProcess) => void): Promise<Step> {
    const image = ["--image", join(this.#folder, "image")];
    const guest = [...this.#guestDirectories(), this.#module, ...this.#workload.args];
    return this.#spawn([process.execPath, commandLine, "run", ...image, ...options, ...guest], options, disturb);
  }

  /** The exit status of a run that ended, as its image tells it; undefined: it goes on. */
  finishedWith(): number | undefined {
    const words = [process.execPath, commandLine, "inspect", "--json", join(this.#folder, "image")];
    if (!succeeds(words)) return undefined;
    const inspection: unknown = JSON.parse(runCommand(words));
    if (typeof inspection !== "object" || inspection === null || !("status" in inspection)) return undefined;
    if (inspection.status !== "finished" || !("exitStatus" in inspection)) return undefined;
    return Number(inspection.exitStatus);
  }

  /** Changes when the program begins or goes on, and with every epoch; undefined: there is no image yet. */
  headerVersion(): bigint | undefined {
    const header = statSync(join(this.#folder, "image", "header"), { bigint: true, throwIfNoEntry: false });
    return header?.mtimeNs;
  }

  /** The whole run in another engine. */
  goElsewhere(engine: readonly string[]): Promise<Step> {
    const guest = [...this.#guestDirectories(), this.#module, ...this.#workload.args];
    return this.#spawn([...engine, ...guest], []);
  }

  async #spawn(
    words: readonly string[],
    options: readonly string[],
    disturb?: (child: ChildProcess) => void,
  ): Promise<Step> {
    const [command = "", ...args] = words;
    const stdin = openSync(existsSync(this.#stdin) ? this.#stdin : "/dev/null", "r");
    const stdout = this.#output === "pipe" ? "pipe" : openSync(this.#stdoutFile, this.#output === "file" ? "r+" : "a");
    const child = spawn(command, args, {
      stdio: [stdin, stdout, "pipe"],
      env: { ...process.env, XDG_CACHE_HOME: join(cacheFolder, "instrumented") },
    });
    closeSync(stdin);
    if (typeof stdout === "number") closeSync(stdout);
    disturb?.(child);
    const stderr: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => this.#stdout.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
    const step = await new Promise<Step>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status, signal) => resolve({ status, signal, stderr: Buffer.concat(stderr).toString() }));
    });
    this.history.push(`${options.join(" ")}: ${step.signal ?? step.status}: ${step.stderr.trim()}`);
    return step;
  }

  result(exitCode: number | null): Result {
    const files: Record<string, string> = {};
    if (this.#workload.files !== undefined) {
      for (const entry of readdirSync(this.#data, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        files[path.slice(this.#data.length + 1)] = entry.isFile() ? digest(readFileSync(path)) : "a directory";
      }
    }
    const stdout = this.#output === "pipe" ? Buffer.concat(this.#stdout) : readFileSync(this.#stdoutFile);
    return { stdout: stdout.toString("latin1"), exitCode, files };
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function digest(bytes: Uint8Array): string {
  return `${bytes.byteLength} bytes, ${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}`;
}
