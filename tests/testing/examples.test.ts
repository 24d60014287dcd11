/** A slice of `npm run soak:failures`: the guest examples survive power failures anywhere. */
import { join } from "node:path";
import { explore } from "vermilion/testing";
import { expect, test } from "vitest";
import { guestExamples } from "../../guest-examples/examples.js";
import { root } from "../corpus/paths.js";

const FAILURES = 300;

/** It is told of each failure, so that each of its runs must go to the end, for a second and more. */
const TOLD = "sigpwr";

const examples = guestExamples.filter(({ committed, name }) => committed && name !== TOLD);

test.each(examples.map((example) => [example.name, example] as const))(
  "%s",
  async (name, { args, stdin, files }) => {
    const folder = join(root, "guest-examples", name);
    const exploration = await explore({
      ...{ module: join(folder, `${name}.wasm`), args, failures: FAILURES, seed: Math.floor(Math.random() * 2 ** 31) },
      stdin: stdin === undefined ? undefined : join(folder, stdin),
      preopens: files === true ? [{ host: folder, guest: "/" }] : [],
    });
    expect(exploration.findings, `seed ${exploration.seed}`).toEqual([]);
    expect(exploration.failures).toBeGreaterThanOrEqual(FAILURES);
  },
  120_000,
);
