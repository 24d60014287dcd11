import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { root } from "../corpus/paths.js";
import { Workshop } from "../support/command-line.js";

const shop = new Workshop();
afterAll(() => shop.remove());
const program = join(root, "guest-examples", "sigpwr", "sigpwr.wasm");
/** So little that no save fits. */
const CUT = ["--holdup", "1ms", "--flush-bandwidth", "1MB/s"];

async function run(...args: string[]) {
  const { status, stdout, stderr } = await shop.run(args);
  return { status, stdout, stderr };
}

async function stackOf(image: string): Promise<readonly { readonly stack: string; readonly name: string }[]> {
  return JSON.parse((await run("inspect", "--json", image)).stdout).frames;
}

/** What the program itself prints; what its handler does depends on the failures. */
function results(output: string): string[] {
  return output.split("\n").filter((line) => line.startsWith("below"));
}

describe("a program that handles SIGPWR", () => {
  test("failures during its handler, during saves and many in a row: all of its results, once", async () => {
    const whole = results((await run("run", "--image", "whole", program)).stdout);
    expect(whole).toHaveLength(5);
    let output = "";
    const fails = async (epoch: string, ...args: string[]) => {
      const { status, stdout, stderr } = await run(...args);
      expect({ status, stderr }).toEqual({ status: 85, stderr: expect.stringContaining(epoch) });
      output += stdout;
    };
    await fails("epoch 1", "run", "--image", "image", "--fail-at", "100000", program);
    // The handler prints first of all.
    await fails("epoch 2", "resume", "--fail-at", "1", "image");
    const frames = await stackOf("image");
    expect(frames.filter(({ stack }) => stack === "callback").map(({ name }) => name)).toContain("on_power_restored");
    // A save that does not fit, of a failure in the handler, twice: the epoch stays.
    await fails("epoch 2", "resume", "--fail-at", "1", ...CUT, "image");
    await fails("epoch 2", "resume", "--fail-at", "2", ...CUT, "image");
    expect(await stackOf("image")).toEqual(frames);
    for (let epoch = 3; epoch <= 8; epoch++) await fails(`epoch ${epoch}`, "resume", "--fail-at", "1", "image");
    const { status, stdout } = await run("resume", "image");
    expect(status).toBe(0);
    expect(results(output + stdout)).toEqual(whole);
  });
});
