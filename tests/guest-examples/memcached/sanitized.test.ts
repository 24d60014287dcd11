/** The example's C, compiled natively with sanitizers: whatever is sent, it touches no memory that it should not. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cached } from "../../corpus/build-cache.js";
import { root } from "../../corpus/paths.js";
import { Random } from "../../corpus/random.js";
import { runCommand, Unavailable } from "../../corpus/run-command.js";

const SESSIONS = 60;
const COMMANDS =
  "get gets gat gats set add replace append prepend cas delete incr decr touch flush_all stats verbosity".split(" ");
const NUMBERS = ["0", "1", "2", "100", "70000", "-1", "2147483645", "2147483648", "4294967296", "18446744073709551616"];

function build(): string {
  const folder = join(root, "guest-examples", "memcached");
  const files = readdirSync(folder)
    .filter((name) => /\.[ch]$/.test(name))
    .map((name) => join(folder, name));
  const words = ["clang-19", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  return cached("memcached", "sanitized", { words, files }, (output) => {
    runCommand([...words, ...files.filter((name) => name.endsWith(".c")), "-o", output]);
  });
}

/** Commands and values, most of them whole, some with mistakes, the last one cut anywhere. */
function sessionOf(random: Random): Buffer {
  const below = (limit: number): number => random.upTo(limit) - 1;
  const word = (): string => {
    const kind = below(20);
    if (kind < 10) return `k${below(20)}`;
    if (kind < 17) return NUMBERS[below(NUMBERS.length)] ?? "";
    if (kind < 18) return "noreply";
    return String.fromCharCode(...Array.from({ length: below(300) }, () => below(256)));
  };
  const pieces = Array.from({ length: 200 }, () => {
    const command = COMMANDS[below(COMMANDS.length)] ?? "";
    if (below(5) < 2) {
      const words = Array.from({ length: below(12) }, word).join(" ");
      return `${command} ${words}${["\r\n", "\n", ""][below(3)]}`;
    }
    const store = COMMANDS[4 + below(5)];
    const length = [0, 1, 5, 100, 16384, 70_000, 600_000][below(7)] ?? 0;
    return `${store} k${below(20)} ${below(9)} ${below(3) - 1} ${length}\r\n${"1".repeat(length)}\r\n`;
  });
  const bytes = Buffer.from(pieces.join(""), "latin1");
  return bytes.subarray(0, bytes.length - below(100));
}

test(`${SESSIONS} random sessions: no complaint of a sanitizer`, { timeout: 120_000 }, (context) => {
  let program: string;
  try {
    program = build();
  } catch (error) {
    if (error instanceof Unavailable) return context.skip(`clang-19 with sanitizers: ${error.message}`);
    throw error;
  }
  for (let seed = 1; seed <= SESSIONS; seed++) {
    const { status, stderr } = spawnSync(program, ["-m", "2"], {
      input: sessionOf(new Random(seed)),
      maxBuffer: 1 << 30,
      encoding: "latin1",
    });
    expect({ seed, status, stderr: stderr.slice(0, 2000) }).toEqual({ seed, status: 0, stderr: "" });
  }
});
