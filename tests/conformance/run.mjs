/**
 * npm run conformance -- CHECKOUT [--only TEST] [--runtime NAME]
 *
 * Runs the preview1 tests of a checkout of WebAssembly/wasi-testsuite (branch prod/testsuite-base, which has them built)
 * against our system interface and whatever other runtimes this machine has, and prints a table.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const TIMEOUT_MILLISECONDS = 30_000;
const FAILURE_STATUS = 85;
const FAILURES_MAXIMUM = 5000;
const commandLine = fileURLToPath(new URL("../../dist/runtime/cli/main.cjs", import.meta.url));
const support = fileURLToPath(new URL("../support/", import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string" }, runtime: { type: "string" }, library: { type: "string" } },
});
const [checkout] = positionals;
if (checkout === undefined || !existsSync(join(checkout, "tests"))) {
  console.error("usage: npm run conformance -- CHECKOUT (of WebAssembly/wasi-testsuite, branch prod/testsuite-base)");
  process.exit(2);
}

const wasmtime = process.env["WASMTIME"] ?? "wasmtime";

/** Each makes a command line out of a test; `resume` the one after a power failure. */
const runtimes = [
  { name: "system interface alone", required: true, command: (test) => guest(test, []) },
  {
    name: "system interface alone, resumed at every call",
    required: true,
    command: (test) => guest(test, ["--resume-at-every-call"]),
  },
  {
    name: "system interface alone, without openat2",
    required: true,
    command: (test) => guest(test, ["--resolver", "walk"]),
  },
  { name: "vermilion", required: true, command: (test) => vermilion(test, []) },
  ...["1:after", "2:before"].map((when) => ({
    name: `vermilion, power failure ${when.slice(2)} every call`,
    required: true,
    command: (test) => vermilion(test, ["--fail-at-call", `*:${when}`]),
    resume: (test) => [process.execPath, commandLine, "resume", "--quiet", "--fail-at-call", `*:${when}`, test.image],
  })),
  {
    name: "node:wasi",
    // Its fast API calls crash at random on Node 20 and 22.
    command: (test) => [
      process.execPath,
      "--no-turbo-fast-api-calls",
      join(support, "run-node-wasi.mjs"),
      ...plain(test),
    ],
  },
  {
    name: "@wasmer/wasi",
    missing: () => process.env["WASMER_WASI"] === undefined && "WASMER_WASI names no directory where it is installed",
    command: (test) => [process.execPath, join(support, "run-wasmer-wasi.mjs"), ...plain(test)],
  },
  {
    name: "wasmtime",
    missing: () => isMissing(wasmtime) && "not on this machine",
    command: (test) => [wasmtime, "run", ...plain(test)],
  },
];

function plain({ dir, env, module, args }) {
  const dirs = dir === undefined ? [] : ["--dir", `${dir}::/`];
  return [...dirs, ...Object.entries(env).flatMap(([name, value]) => ["--env", `${name}=${value}`]), module, ...args];
}

function guest(test, options) {
  const library = values.library === undefined ? [] : ["--library", values.library];
  return [process.execPath, join(support, "run-guest.mjs"), ...library, ...options, ...plain(test)];
}

function vermilion(test, options) {
  return [process.execPath, commandLine, "run", "--quiet", "--image", test.image, ...options, ...plain(test)];
}

function findTests() {
  const found = [];
  for (const language of readdirSync(join(checkout, "tests"))) {
    const directory = join(checkout, "tests", language, "testsuite", "wasm32-wasip1");
    if (!existsSync(directory)) continue;
    for (const file of readdirSync(directory).sort()) {
      if (!file.endsWith(".wasm")) continue;
      const name = `${language}/${basename(file, ".wasm")}`;
      if (values.only !== undefined && !name.includes(values.only)) continue;
      const specification = join(directory, file.replace(/\.wasm$/, ".json"));
      const spec = existsSync(specification) ? JSON.parse(readFileSync(specification, "utf8")) : {};
      found.push({ name, module: join(directory, file), directory, spec });
    }
  }
  return found;
}

/** undefined: passed. */
function run(runtime, { module, directory, spec }) {
  const scratch = mkdtempSync(join(tmpdir(), "vermilion-conformance-"));
  try {
    let dir;
    if (spec.root !== undefined) {
      dir = join(scratch, "root"); // the tests write into it
      cpSync(join(directory, spec.root), dir, { recursive: true });
    }
    const test = { module, dir, env: spec.env ?? {}, args: spec.args ?? [], image: join(scratch, "image") };
    let result = spawn(runtime.command(test));
    let stdout = result.stdout;
    for (let failures = 0; result.status === FAILURE_STATUS && runtime.resume !== undefined; failures++) {
      if (failures === FAILURES_MAXIMUM) return "no end after all these failures";
      result = spawn(runtime.resume(test));
      stdout += result.stdout;
    }
    if (result.error !== undefined) return result.error.message;
    const expected = spec.exit_code ?? 0;
    if (result.status !== expected) {
      const messages = result.stderr.trim().split("\n").slice(0, 3).join(" | ");
      return `status ${result.status ?? result.signal}, not ${expected}: ${messages}`;
    }
    if (spec.stdout !== undefined && stdout !== spec.stdout) return `stdout ${JSON.stringify(stdout)}`;
    return undefined;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function spawn([command, ...args]) {
  return spawnSync(command, args, { encoding: "utf8", timeout: TIMEOUT_MILLISECONDS, input: "" });
}

function isMissing(command) {
  return spawnSync(command, ["--version"]).status !== 0;
}

const tests = findTests();
let failed = false;
console.log(`${tests.length} tests, Node ${process.versions.node}`);
for (const runtime of runtimes) {
  if (values.runtime !== undefined && !runtime.name.includes(values.runtime)) continue;
  const missing = runtime.missing?.() || undefined;
  if (missing !== undefined) {
    console.log(`${runtime.name}: ${missing}`);
    continue;
  }
  const failures = tests.flatMap((test) => {
    const why = run(runtime, test);
    return why === undefined ? [] : [`  ${test.name}: ${why}`];
  });
  console.log(`${runtime.name}: ${tests.length - failures.length} of ${tests.length}`);
  for (const line of failures) console.log(line);
  if (runtime.required && failures.length > 0) failed = true;
}
process.exitCode = failed ? 1 : 0;
