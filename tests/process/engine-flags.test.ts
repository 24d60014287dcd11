import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import {
  ENGINE_FLAGS,
  HEED_HINTS,
  PASS_OVER_HINTS,
  READ_HINTS,
  registerFlags,
  SOON_COMPILED,
  UNREAD_HINTS,
} from "../../runtime/process/engine-flags.js";

test("this engine knows every flag that we set; of another it would say so to the user", () => {
  const options = execFileSync(process.execPath, ["--v8-options"], { encoding: "utf8" });
  const known = new Set([...options.matchAll(/^ {2}--([\w-]+) /gm)].map((match) => match[1]));
  const all = [ENGINE_FLAGS, READ_HINTS, UNREAD_HINTS, HEED_HINTS, PASS_OVER_HINTS, SOON_COMPILED].flat();
  const names = [...all, ...registerFlags({ largestBody: 1 }), ...registerFlags({ largestBody: 1 << 20 })].map(
    (flag) => /^--([\w-]+)/.exec(flag)?.[1],
  );
  expect(names.filter((name = "") => !known.has(name) && !known.has(name.replace(/^no-/, "")))).toEqual([]);
});

test("good registers for programs whose functions are not too large, where the engine has two ways", () => {
  const hasTwo = process.versions.v8.startsWith("11.3.");
  expect(registerFlags({ largestBody: 70_000 })).toEqual(hasTwo ? [`--no-${SOON_COMPILED[0]?.slice(2)}`] : []);
  expect(registerFlags({ largestBody: 250_000 })).toEqual(SOON_COMPILED);
});
