/** A slice of `npm run soak`: real programs killed by SIGKILL in chains, their output exactly once. */
import { expect, test } from "vitest";
import { killAtRandom, referenceOf } from "./kills.js";
import { programs } from "./programs.js";
import { Random } from "./random.js";
import { Unavailable } from "./run-command.js";

const seed = Number(process.env["VERMILION_SEED"] ?? Math.floor(Math.random() * 2 ** 32));

test.each([
  ["chores", "file", ["--log"]],
  ["chores", "appended", ["--persist-every", "20ms"]],
  ["sqlite", "file", ["--log"]],
] as const)("%s, stdout %s, %s: as if never killed", { timeout: 600_000 }, async (name, stdout, options) => {
  const program = programs.find((candidate) => candidate.name === name);
  if (program === undefined) throw new Error(`no program ${name}`);
  let module: string;
  try {
    module = program.build();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.log(`skipped: ${error.message}`);
    return;
  }
  const reference = await referenceOf(program, module);
  const killed = await killAtRandom(program, module, new Random(seed), reference, { options, kills: 8, stdout });
  expect(killed.result, `seed ${seed}\n${killed.history.join("\n")}`).toEqual(reference.expected);
});
