import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

/** What the benchmarks run once for each figure reaches into the runtime, so it must be kept working with it. */
const timeGuest = new URL("../support/time-guest.mjs", import.meta.url).pathname;
const guest = new URL("../../guest-examples/n-body/n-body.wasm", import.meta.url).pathname;

test.each(["plain", "mapped", "vermilion"])("the %s variant runs the guest and measures it", (variant) => {
  const scratch = mkdtempSync(join(tmpdir(), "vermilion-time-guest-"));
  try {
    const options = ["--variant", variant, "--module", guest, "--name", "n-body", "--scratch", scratch];
    const { status, stdout, stderr } = spawnSync(process.execPath, [timeGuest, ...options, "200000"]);
    expect(status, stderr.toString()).toBe(0);
    expect(stdout.toString()).toContain("200000 steps: energy");
    const result = JSON.parse(readFileSync(join(scratch, "result.json"), "utf8")) as Record<string, number>;
    expect(result["status"]).toBe(0);
    expect(result["wall"]).toBeGreaterThan(0);
    expect(result["cpu"]).toBeGreaterThan(0);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
