/** Runs the built command line as a user would: a fresh process in a directory of its own, with a home of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const mainPath = fileURLToPath(new URL("../../dist/runtime/cli/main.cjs", import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SpawnOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Written to the pipe that is the guest's stdin, which is then closed; undefined: it stays open. */
  readonly input?: string;
  /** Instead of pipes. */
  readonly stdio?: readonly ["ignore" | "pipe" | number, "pipe" | number, "pipe" | number];
}

/** A working directory and a home for some runs. */
export class Workshop {
  readonly directory = mkdtempSync(join(tmpdir(), "vermilion-test-"));
  /** Where commands run; the home lies beside it. */
  readonly work = join(this.directory, "work");
  readonly environment: Readonly<Record<string, string>> = {
    PATH: process.env["PATH"] ?? "",
    HOME: join(this.directory, "home"),
    XDG_CACHE_HOME: join(tmpdir(), "vermilion-test-cache"), // shared, so that a module is instrumented once
  };

  constructor() {
    mkdirSync(this.work);
    mkdirSync(join(this.directory, "home"));
  }

  start(args: readonly string[], options: SpawnOptions = {}): Running {
    const child = spawn(process.execPath, [mainPath, ...args], {
      cwd: options.cwd ?? this.work,
      env: { ...this.environment, ...options.env },
      stdio: [...(options.stdio ?? (["pipe", "pipe", "pipe"] as const))],
    });
    if (options.input !== undefined) child.stdin?.end(options.input);
    return new Running(child);
  }

  run(args: readonly string[], options: SpawnOptions = {}): Promise<Ended> {
    return this.start(args, { input: "", ...options }).ended;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = "";
  #stderr = "";

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    child.stdin?.on("error", () => {}); // the guest may end before it has read everything
    this.ended = once(child, "close").then(() => ({
      status: child.exitCode,
      signal: child.signalCode,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
  }

  get stdout(): string {
    return this.#stdout;
  }

  /** Resolves when stdout contains the text; a process that ends without it fails the test. */
  async printed(text: string): Promise<void> {
    while (!this.#stdout.includes(text)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`ended without printing "${text}"; stderr: ${this.#stderr}`);
      }
      await sleep(2);
    }
  }

  /** Resolves when stderr contains the text, or when the process has ended. */
  async said(text: string): Promise<void> {
    while (!this.#stderr.includes(text) && this.child.exitCode === null && this.child.signalCode === null)
      await sleep(2);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}
