/** The rival that saves whole native processes: CRIU, dump and restore of Node with the same guest in it. */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Unavailable } from "../../tests/corpus/run-command.js";
import { processorMicroseconds } from "../processor-time.js";
import { root } from "../report.js";

const guest = join(root, "benchmarks", "guests", "heap-and-stack.wasm");
const timeGuest = join(root, "tests", "support", "time-guest.mjs");

/** Throws `Unavailable` with CRIU's own reason where it does not work: it needs privileges, and a kernel that it knows. */
export function checkCriu(): void {
  const { error, status, stderr } = spawnSync("criu", ["check"], { encoding: "utf8" });
  if (error !== undefined) throw new Unavailable("criu is not installed (Debian: criu)");
  if (status === 0) return;
  const reasons = stderr.split("\n").filter((line) => line.includes("Error") && !line.includes("exited"));
  throw new Unavailable(`criu check fails: ${reasons[0]?.trim() ?? `status ${status}`}`);
}

function criu(args: readonly string[]): number {
  const startedAt = performance.now();
  const { status, stderr } = spawnSync("criu", [...args], { encoding: "utf8" });
  if (status === 0) return performance.now() - startedAt;
  throw new Unavailable(`criu ${args[0]}: ${stderr.trim().split("\n").at(-1) ?? `status ${status}`}`);
}

/** Milliseconds of a dump, after which the process is gone, and of its restore. */
export async function dumpAndRestore(scratch: string, heapMebibytes: number): Promise<[number, number]> {
  checkCriu();
  const dump = join(scratch, "criu");
  mkdirSync(dump);
  const output = join(scratch, "criu-output"); // a file: CRIU takes no pipes that lead elsewhere
  const file = openSync(output, "w");
  const child = spawn(
    process.execPath,
    [
      ...[timeGuest, "--variant", "plain", "--module", guest, "--name", "heap", "--scratch", scratch],
      ...[String(heapMebibytes), "10", "clean"],
    ],
    { detached: true, stdio: ["ignore", file, file] },
  );
  const { pid } = child;
  if (pid === undefined) throw new Unavailable("the rival's process does not start");
  try {
    while (!readFileSync(output, "utf8").includes("r")) {
      if (child.exitCode !== null) throw new Unavailable(`the rival's process ends: ${readFileSync(output, "utf8")}`);
      await sleep(50);
    }
    const options = ["--images-dir", dump, "--shell-job"];
    const gone = new Promise((resolve) => child.once("exit", resolve));
    const dumped = criu(["dump", "--tree", String(pid), ...options]);
    await gone; // a child that nobody has waited for keeps its number, which the restored process wants
    const restored = criu(["restore", "--restore-detached", ...options]);
    const before = processorMicroseconds(pid); // it leads its own group
    await sleep(500);
    if (processorMicroseconds(pid) === before) throw new Error("the restored process does not compute");
    return [dumped, restored];
  } finally {
    closeSync(file);
    spawnSync("kill", ["-KILL", String(pid)]);
  }
}
