/** One program in several ways: what survives which failure, as docs/programming-models.md says. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { PersistenceDomain } from "../../pmem/cache-model.js";
import { exploreRestartsHere, type RestartExploration } from "../../runtime/testing/restarts-here.js";
import { root } from "../corpus/paths.js";
import { Workshop } from "../support/command-line.js";

const folder = join(root, "guest-examples", "programming-models");
const workshop = new Workshop();
process.env["XDG_CACHE_HOME"] = join(workshop.work, "cache");
afterAll(() => workshop.remove());

function explore(name: string, domain: PersistenceDomain): RestartExploration {
  const failuresInARow = name.startsWith("list") ? 2 : 1; // trees take a minute for two
  return exploreRestartsHere(
    { module: join(folder, `${name}.wasm`), domain, failuresInARow },
    { folder: workshop.work },
  );
}

describe.each([
  // Name; whether it survives as a program that begins again at main, under adr and under eadr.
  ["list-push-plain", false, false],
  ["list-push-undo-log", true, true],
  ["list-push-failure-atomic", true, true],
  ["list-push-by-hand", true, true],
  ["list-push-missing-log-entry", false, false],
  ["list-push-missing-flush", false, true],
  ["list-push-flush-before-store", false, true],
  ["list-push-torn-pointer", false, false],
  ["list-push-size-before-data", false, false],
  ["balanced-tree-plain", false, false],
  ["balanced-tree-undo-log", true, true],
  ["balanced-tree-failure-atomic", true, true],
  ["balanced-tree-missing-log-entry", false, false],
])("%s", (name, adr, eadr) => {
  test("begun again at main with its persistent ranges", () => {
    for (const [domain, survives] of [
      ["adr", adr],
      ["eadr", eadr],
    ] as const) {
      const { finding, complete } = explore(name, domain);
      expect(finding === undefined, domain).toBe(survives);
      expect(complete).toBe(true);
    }
  });

  test("the folder's build script makes it", () => {
    expect(readFileSync(join(folder, "build.sh"), "utf8")).toContain(`build ${name} `);
  });
});

test.each(["list-push-plain", "balanced-tree-plain", "list-push-missing-flush"])(
  "%s as a whole process that persists: nothing is lost, mistakes or not",
  async (name) => {
    const run = await workshop.run(["explore", "--points", "200", "--json", join(folder, `${name}.wasm`)]);
    expect(JSON.parse(run.stdout)).toMatchObject({ findings: [] });
    expect(run.status).toBe(0);
  },
);
