import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Workshop } from "../support/command-line.js";
import { placeGuest } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());
const counter = placeGuest(shop.work, "counter");

/** Ends, by SIGPWR, a run whose image was treated so while it ran. */
async function failed(image: string, treat: (path: string) => void, ...options: string[]) {
  const run = shop.start(["run", "--image", image, "--json", ...options, counter], { input: "" });
  await run.printed("\n9\n");
  treat(join(shop.work, image));
  run.kill("SIGPWR");
  return run.ended;
}

describe("an image whose directory goes away while its program runs", () => {
  test.each([[], ["--log"]])("removed, %s: the failure is not called a save, status 74", async (...options) => {
    const { status, stderr } = await failed("removed", (path) => rmSync(path, { recursive: true }), ...options);
    expect(status).toBe(74);
    expect(JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ code: "IMAGE_MISSING" });
  });

  test("renamed: saved there, which is said; it goes on from there", async () => {
    const { status, stderr, stdout } = await failed("before", (path) => renameSync(path, join(shop.work, "behind")));
    expect(status).toBe(85);
    expect(stderr).toContain(`${join(shop.work, "behind")}: the image was renamed`);
    const resumed = await shop.run(["resume", "behind"]);
    expect(resumed.status).toBe(7);
    expect(`${stdout}${resumed.stdout}`.split("\n").slice(0, 40)).toEqual(
      Array.from({ length: 40 }, (_, index) => String(index + 1)),
    );
  });
});
