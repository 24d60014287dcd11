import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { Workshop } from "../support/command-line.js";

const shop = new Workshop();
afterAll(() => shop.remove());

const nBody = fileURLToPath(new URL("../../guest-examples/n-body/n-body.wasm", import.meta.url));
const env = { XDG_CACHE_HOME: join(shop.directory, "cache") };

/** Files are replaced, never changed. */
function kept(): Map<string, number> {
  const folder = join(env.XDG_CACHE_HOME, "vermilion", "code");
  return new Map(readdirSync(folder).map((name) => [name, statSync(join(folder, name)).ino]));
}

test("a run that is long enough for its guest to be optimised keeps code that the next ones use", async () => {
  const cut = async ([command = "", ...rest]: readonly string[]) =>
    expect((await shop.run([command, "--fail-after", "400ms", ...rest], { env })).status).toBe(85);
  const run = ["run", "--image", "image", nBody, "2000000000"];
  for (let i = 0; i < 3; i++) await cut(run);
  const first = kept();
  expect([...first.keys()].map((name) => name.replace(/-v.*/, "")).sort()).toEqual(["command-run", "run"]);
  await cut(run);
  expect(kept()).toEqual(first);
  for (let i = 0; i < 3; i++) await cut(["resume", "image"]);
  const second = kept();
  expect(second.size).toBe(4);
  await cut(["resume", "image"]);
  expect(kept()).toEqual(second);
});
