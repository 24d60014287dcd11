import { spawnSync } from "node:child_process";

/** A program cannot be had on this machine, and why: its tests skip and print the reason. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMilliseconds?: number;
}

/** stdout of a command that succeeds. Throws `Unavailable`, with the end of its stderr, otherwise. */
export function runCommand(words: readonly string[], options: CommandOptions = {}): string {
  const [command = "", ...args] = words;
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: options.timeoutMilliseconds ?? 300_000,
  });
  if (status === 0) return stdout;
  const reason = error?.message ?? stderr.trim().split("\n").slice(-4).join("\n");
  throw new Unavailable(`${command} ${args[0] ?? ""}: ${reason}`);
}

export function succeeds(words: readonly string[], options: CommandOptions = {}): boolean {
  try {
    runCommand(words, options);
    return true;
  } catch (error) {
    if (error instanceof Unavailable) return false;
    throw error;
  }
}
