/**
 * The rival: Binaryen's Asyncify, made to do what Vermilion does, stop anywhere in a loop, as well as its users can.
 *
 *     wasm-dis module.wasm  ->  a poll at every loop header, in the text  ->  wasm-opt -O3 --asyncify
 *
 * Asyncify can unwind only out of an imported call, so a user who wants to stop loops must put one there. What is put
 * there costs the least that we found, and polls as often as Vermilion does: a counter in a global, and the imported
 * call only every 16,384th time:
 *
 *     (loop $l
 *       (global.set $vermilion_fuel (i32.sub (global.get $vermilion_fuel) (i32.const 1)))
 *       (if (i32.eqz (global.get $vermilion_fuel)) (then (call $vermilion_poll)))
 *       ...
 *
 * In the rival's favour: no polls in recursion without loops (it could not stop fib), no unwinding out of system calls
 * (asyncify-imports names the poll only; --ignore-indirect is not given, for indirect calls do reach loops), Binaryen's
 * -O3 over the whole module, before it as its documentation advises, and after it; the plain module gets neither.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand, Unavailable } from "../../tests/corpus/run-command.js";
import { root } from "../report.js";

const VERSION = "1";
const TIMEOUT_MILLISECONDS = 1_800_000;
/** Binaryen takes minutes for modules above this. */
const QUICK_BYTES_MAXIMUM = 400_000;
const cache = join(root, ".cache", "benchmarks", "asyncify");
const tools = join(root, "node_modules", "binaryen");

const FEATURES = [
  "bulk-memory",
  "exception-handling",
  "multivalue",
  "mutable-globals",
  "nontrapping-float-to-int",
  "reference-types",
  "sign-ext",
  "simd",
].map((name) => `--enable-${name}`);

const IMPORT = '(import "vermilion" "poll" (func $vermilion_poll))';
const GLOBAL = '(global $vermilion_fuel (export "vermilion_fuel") (mut i32) (i32.const 16384))';
const FUEL = "(global.get $vermilion_fuel)";
const POLL =
  `(global.set $vermilion_fuel (i32.sub ${FUEL} (i32.const 1))) ` +
  `(if (i32.eqz ${FUEL}) (then (call $vermilion_poll)))`;

/**
 * The path of the asyncified module. Throws `Unavailable` where Binaryen cannot make one, with what it says.
 * `quick`: and where it takes minutes, unless it has been made before.
 */
export function asyncify(module: string, quick: boolean): string {
  const version = (JSON.parse(readFileSync(join(tools, "package.json"), "utf8")) as { version: string }).version;
  const words = `${VERSION} ${version} ${POLL}`;
  const hash = createHash("sha256").update(words).update(readFileSync(module)).digest("hex");
  const output = join(cache, `${hash.slice(0, 16)}.wasm`);
  if (existsSync(output)) return output;
  if (quick && statSync(module).size > QUICK_BYTES_MAXIMUM)
    throw new Unavailable("takes minutes to make; run without --quick");
  mkdirSync(cache, { recursive: true });
  const text = `${output}.${process.pid}.wat`;
  binaryen("wasm-dis", module, ...FEATURES, "-o", text);
  writeFileSync(text, addPolls(readFileSync(text, "utf8")));
  const unfinished = `${output}.${process.pid}`;
  const passes = ["-O3", "--asyncify", "-O3", "--pass-arg=asyncify-imports@vermilion.poll"];
  binaryen("wasm-opt", text, ...FEATURES, ...passes, "-o", unfinished);
  renameSync(unfinished, output);
  return output;
}

function binaryen(tool: string, ...args: string[]): void {
  const heap = "--max-old-space-size=8192";
  runCommand([process.execPath, heap, join(tools, "bin", tool), ...args], {
    timeoutMilliseconds: TIMEOUT_MILLISECONDS,
  });
}

/** Binaryen prints a loop's head on a line of its own, and none has parameters; imports must come before definitions. */
function addPolls(text: string): string {
  const lines = text
    .split("\n")
    .map((line) => (/^\s*\(loop( \$\S+)?( \(type \S+\))?( \(result [^()]*\))?$/.test(line) ? `${line} ${POLL}` : line));
  const start = lines.findIndex((line) => /^\(module( \$\S+)?$/.test(line));
  const lastImport = lines.findLastIndex((line) => line.startsWith(" (import "));
  if (start < 0) throw new Error("wasm-dis prints modules in another way than expected");
  lines[Math.max(start, lastImport)] += `\n ${IMPORT}\n ${GLOBAL}`;
  return lines.join("\n");
}
