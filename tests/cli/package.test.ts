import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assembleText, placeGuest } from "../support/guests.js";
import { countingGuest } from "../testing/guest.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "vermilion-package-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Without what npm sets for the scripts of our own package. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_|^VITEST|^NODE_/.test(name)));

function inFolder(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { cwd: folder, env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

describe("the packed tarball, installed in an empty folder", () => {
  beforeAll(() => {
    const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", folder], {
      cwd: root,
      env,
      encoding: "utf8",
    });
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
    writeFileSync(join(folder, "package.json"), '{ "type": "module", "private": true }');
    inFolder("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", `./${filename}`);
    placeGuest(folder, "counter");
  }, 300_000);

  test("the command runs a program, stops and goes on", () => {
    const run = (...options: readonly string[]): string => {
      try {
        return inFolder("npx", "--no-install", "vermilion", "run", "--quiet", ...options, "counter.wasm");
      } catch (error) {
        return (error as { stdout: string }).stdout;
      }
    };
    const stopped = run("--fail-at-call", "fd_write:3");
    expect(stopped).toBe("1\n2\n");
    expect(run()).toMatch(/^3\n4\n[\s\S]*40\n[0-9]+\n$/);
  });

  test("its assertions work in a vitest of the user's own, and say what broke the program", () => {
    symlinkSync(join(root, "node_modules", "vitest"), join(folder, "node_modules", "vitest"));
    writeFileSync(join(folder, "good.wasm"), assembleText(countingGuest()));
    const careless = `(func (export "vermilion_on_power_restored") (global.set $sum (i32.const 0)))`;
    writeFileSync(join(folder, "careless.wasm"), assembleText(countingGuest(careless)));
    for (const name of ["missing-flush.wasm", "missing-flush-bug.wasm"]) {
      copyFileSync(join(root, "guest-examples", "crash-bugs", name), join(folder, name));
    }
    copyFileSync(join(root, "tests", "cli", "package-vitest.txt"), join(folder, "power.test.ts"));
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"];
    inFolder(join(root, "node_modules", ".bin", "tsc"), ...options, "power.test.ts");
    const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
    const { status, stdout, stderr } = spawnSync(process.execPath, [vitest, "run", "--no-color", "power.test.ts"], {
      ...{ cwd: folder, env: { ...env, NO_COLOR: "1" }, encoding: "utf8" },
    });
    expect(status).toBe(1);
    expect(stdout).toMatch(/2 failed \| 4 passed/);
    expect(stderr).toMatch(/DOES NOT SURVIVE {2}(safepoint|call):/);
    expect(stderr).toContain("the power failed in");
    expect(stderr).toContain("the power failed before a fence, in");
    expect(stderr).toContain("+ Received");
  });

  test("the library imports, with its types", () => {
    copyFileSync(join(root, "tests", "cli", "package-user.txt"), join(folder, "user.ts"));
    inFolder(join(root, "node_modules", ".bin", "tsc"), ...["--noEmit", "--strict", "--module", "nodenext"], "user.ts");
    const script = `
      import { Process, VermilionError } from "vermilion";
      const guest = await Process.create({ module: "counter.wasm", image: "mine", stdio: [-1, -1, 2] });
      const outcome = await guest.run({ failure: { atSafepoint: 100 } });
      const missing = await Process.open("nothing").catch((error) => error instanceof VermilionError && error.code);
      console.log(outcome.kind, (await guest.inspect()).epoch, missing);`;
    expect(inFolder(process.execPath, "--input-type=module", "--eval", script)).toBe("powerFailed 1 IMAGE_MISSING\n");
  });
});
