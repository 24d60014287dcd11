/**
 * npm run conformance:core -- CHECKOUT [--only SCRIPT] [--way NAME] [--verbose]
 *
 * Runs the scripts of a checkout of WebAssembly/testsuite, the tests of the core specification, on instrumented modules:
 * in every form, and interrupted at safepoints, each time going on in a new machine. Needs wasm-tools (WASM_TOOLS names the
 * binary), which turns scripts into JSON and binaries, and wabt's wast2json for the older exceptions, which that does not read.
 *
 * A module that needs what we do not carry must be refused by name; one that the engine does not take is not counted.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { Program } from "../../../dist/runtime/process/program.js";
import { decodeModule } from "../../../dist/runtime/wasm/decode.js";
import { ExternalKind } from "../../../dist/runtime/wasm/module.js";
import { meets } from "./expectations.mjs";
import { Subject, WAYS } from "./subject.mjs";
import { NOTHING, withWrappers, wrapperName } from "./wrappers.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string" }, way: { type: "string" }, verbose: { type: "boolean", default: false } },
});
const [checkout] = positionals;
const wasmTools = process.env["WASM_TOOLS"] ?? "wasm-tools";
if (checkout === undefined || !existsSync(join(checkout, "i32.wast"))) {
  console.error("usage: npm run conformance:core -- CHECKOUT (of WebAssembly/testsuite)");
  process.exit(2);
}
if (spawnSync(wasmTools, ["--version"]).status !== 0) {
  console.error("skipped: wasm-tools is not there (cargo install wasm-tools, or WASM_TOOLS=its path)");
  process.exit(0);
}

const REFUSALS = new Set(["MODULE_INVALID", "MODULE_UNSUPPORTED"]);
const ACTION_RESULTS = {
  assert_trap: "trapped",
  assert_exhaustion: "trapped",
  assert_exception: "trapped",
  assert_return: "returned",
  action: "returned",
};

/** By what became of them. */
const counts = new Map();
const failures = [];

function count(what) {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

function countRefused({ message }) {
  count(`modules refused: ${message.replace(/,? ?\(?byte \d+\)?/, "")}`);
}

function fail(script, line, way, reason) {
  count("FAILED");
  failures.push(`${script}:${line}, ${way}: ${reason}`);
  if (values.verbose) console.log(failures.at(-1));
}

function main() {
  const folder = mkdtempSync(join(tmpdir(), "core-"));
  try {
    const chosen = values.only?.split(",");
    for (const path of scriptsOf(checkout)) {
      const name = basename(path, ".wast");
      if (chosen !== undefined && !chosen.includes(name)) continue;
      const json = join(folder, `${name}.json`);
      if (!convert(path, json, folder)) {
        count("scripts that nobody here reads");
        if (values.verbose) console.log(`${name}: not read`);
        continue;
      }
      runScript(name, JSON.parse(readFileSync(json, "utf8")).commands, folder);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const [what, number] of [...counts].sort()) console.log(`${String(number).padStart(8)}  ${what}`);
  for (const failure of failures) console.log(failure);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

function convert(path, json, folder) {
  return [
    [wasmTools, "json-from-wast", path, "-o", json, "--wasm-dir", folder],
    ["wast2json", "--enable-all", path, "-o", json],
  ].some(([command, ...args]) => spawnSync(command, args).status === 0);
}

function scriptsOf(folder) {
  return ["", "legacy"].flatMap((part) => {
    const directory = join(folder, part);
    if (!existsSync(directory)) return [];
    const names = readdirSync(directory).filter((name) => name.endsWith(".wast"));
    return names.sort().map((name) => join(directory, name));
  });
}

function runScript(script, commands, folder) {
  const before = failures.length;
  const units = unitsOf(commands, folder);
  for (const unit of units) runUnit(script, unit);
  for (const command of commands) {
    if (command.type === "assert_invalid" || command.type === "assert_malformed") refuse(script, command, folder);
  }
  if (values.verbose) console.log(`${script}: ${units.length} modules, ${failures.length - before} failures`);
}

/** Modules, each with the commands that concern it, in order. */
function unitsOf(commands, folder) {
  const units = [];
  const named = new Map();
  const registered = new Map();
  let current;
  for (const command of commands) {
    if (command.type === "module" || command.type === "assert_uninstantiable") {
      const unit = { command, bytes: new Uint8Array(readFileSync(join(folder, command.filename))), actions: [] };
      units.push(unit);
      for (const from of importsOf(unit.bytes) ?? registered.keys()) {
        if (from === "spectest") continue;
        unit.shares = true;
        const origin = registered.get(from);
        if (origin !== undefined) origin.shares = true;
      }
      if (command.type !== "module") continue;
      current = unit;
      if (command.name !== undefined) named.set(command.name, unit);
    } else if (command.type === "register") {
      registered.set(command.as, command.name === undefined ? current : named.get(command.name));
    } else if (command.action !== undefined) {
      const unit = command.action.module === undefined ? current : named.get(command.action.module);
      unit?.actions.push(command);
    }
  }
  return units;
}

/** Undefined: the engine does not take the module. */
function importsOf(bytes) {
  if (!WebAssembly.validate(bytes)) return undefined;
  return WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map(({ module: from }) => from);
}

function refuse(script, { line, filename, module_type: form }, folder) {
  if (form === "text") return;
  const bytes = new Uint8Array(readFileSync(join(folder, filename)));
  try {
    Program.load(bytes, { cacheDirectory: undefined, exact: true });
    if (WebAssembly.validate(bytes)) count("invalid modules that the engine takes");
    else fail(script, line, "refusal", "an invalid module is taken");
  } catch (error) {
    if (REFUSALS.has(error.code)) count("invalid modules refused");
    else fail(script, line, "refusal", error.stack);
  }
}

function runUnit(script, { command, bytes, shares, actions }) {
  if (!WebAssembly.validate(bytes)) return count("modules that this engine does not take");
  if (shares) return count("modules that share something with others");
  let module;
  try {
    module = decodeModule(bytes);
  } catch (error) {
    return countRefused(error);
  }
  if (module.imports.some(({ kind }) => kind !== ExternalKind.function)) {
    return count("modules that import what is no function");
  }
  const { bytes: wrapped, has } = withWrappers(module, [NOTHING, ...actions.map(({ action }) => action)]);
  // What such an action leaves in tables and globals, others look at.
  if (has.includes(false)) return count("modules that are given references of the host");
  if (!WebAssembly.validate(wrapped)) return fail(script, command.line, "wrappers", "not valid");
  count("modules run");
  for (const way of WAYS) {
    if (values.way === undefined || values.way === way.name) runOneWay(script, way, { wrapped, command, actions });
  }
}

function runOneWay(script, way, { wrapped, command, actions }) {
  let subject;
  try {
    subject = new Subject(wrapped, way);
    const { kind, error } = subject.call(wrapperName(0));
    const expected = command.type === "module" ? "returned" : "trapped";
    if (kind !== expected) return fail(script, command.line, way.name, `starting it: ${kind}${error ?? ""}`);
  } catch (error) {
    if (error.code === "MODULE_UNSUPPORTED") return countRefused(error);
    // A table or a segment out of bounds: the engine says so before we can.
    if (command.type === "module") fail(script, command.line, way.name, `starting it: ${error.stack}`);
    return;
  }
  actions.forEach((action, index) => {
    try {
      const outcome = subject.call(wrapperName(index + 1));
      const wanted = ACTION_RESULTS[action.type];
      if (outcome.kind !== wanted) {
        fail(script, action.line, way.name, `${outcome.kind} ${outcome.error?.message ?? ""}, not ${wanted}`);
      } else if (action.type === "assert_return" && !meets(action.expected, outcome.results)) {
        fail(script, action.line, way.name, `${outcome.results}, not ${JSON.stringify(action.expected)}`);
      } else count(`assertions, ${way.name}`);
    } catch (error) {
      fail(script, action.line, way.name, error.stack);
    }
  });
  if (subject.resumes > 0) counts.set("resumes", (counts.get("resumes") ?? 0) + subject.resumes);
}

main();
