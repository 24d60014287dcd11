/** Random modules of Binaryen's generator for fuzzers, as programs for the harness. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Random } from "../../../runtime/testing/random.js";

const generator = join(dirname(createRequire(import.meta.url).resolve("binaryen")), "bin", "wasm-opt");
const FEATURES = [
  ...["exception-handling", "reference-types", "multivalue", "bulk-memory", "simd", "sign-ext"],
  ...["nontrapping-float-to-int", "mutable-globals", "tail-call", "extended-const"],
].map((feature) => `--enable-${feature}`);

/** A module as text. `newer`: with try_table and exnref, else with the legacy instructions. */
export function randomModule(random: Random, newer: boolean): string {
  const folder = mkdtempSync(join(tmpdir(), "vermilion-random-module-"));
  try {
    const [input, output] = [join(folder, "input"), join(folder, "module.wat")];
    const length = 4000 + random.below(40_000);
    writeFileSync(input, Buffer.from(Array.from({ length }, () => random.below(256))));
    const newerForm = newer ? ["--enable-multimemory", "--translate-to-exnref"] : [];
    const options = ["-ttf", "--denan", ...FEATURES, ...newerForm, "-S", "-o", output];
    execFileSync(process.execPath, [generator, input, ...options], { stdio: ["ignore", "ignore", "pipe"] });
    const fields = withTypesOnce(fieldsOf(readFileSync(output, "utf8")));
    return withoutImports(without(newer ? EXCEPTION_TABLE : NEWER, fields)).join("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Names of the functions that it exports, with their types as text. */
export function exportsOf(text: string): readonly { name: string; params: string[]; results: string[] }[] {
  const fields = fieldsOf(`(module\n${text}\n)`);
  return fields.flatMap((field) => {
    const name = /^\s*\(export "[^"]*" \(func (\$[^ )]+)\)\)/.exec(field)?.[1];
    const declared = fields.find((other) => other.startsWith(` (func ${name} `));
    return name === undefined || declared === undefined ? [] : [{ name, ...signatureOf(declared) }];
  });
}

/** A program for the harness: `run` calls the function some times and logs its results; what it throws is logged as -99. */
export function programCalling(
  text: string,
  { name, params, results }: ReturnType<typeof exportsOf>[number],
  newer: boolean,
  random: Random,
): string {
  const calls = Array.from({ length: 3 }, () => {
    const args = params.map((type) => constantOf(type, random.below(1000) - 300));
    const body = `(call ${name} ${args.join(" ")}) ${results.toReversed().map(logged).join(" ")}`;
    const thrown = "(call $log-i32 (i32.const -99))";
    if (!newer) return `(try (do ${body}) (catch_all ${thrown}))`;
    return `(block $done (block $thrown (try_table (catch_all $thrown) ${body}) (br $done)) ${thrown})`;
  });
  return `(module\n${text}\n (func (export "run") ${calls.join("\n  ")})\n)`;
}

/** The module's fields, each of whole lines; those of one level have one space in front of them. */
function fieldsOf(text: string): string[] {
  const fields: string[] = [];
  for (const line of text.split("\n").slice(1)) {
    if (line.startsWith(" (")) fields.push(line);
    else if (line.startsWith(" ") && fields.length > 0) fields[fields.length - 1] += `\n${line}`;
  }
  return fields.filter((field) => !field.startsWith(" (start"));
}

/** References of the proposal that has types for them are lowered, as when they are written: two types are then the same one. */
function withTypesOnce(fields: readonly string[]): string[] {
  const lowered = fields.map((field) =>
    field
      .replace(/\bno(func|extern|exn)\b/g, "$1")
      .replace(/\bnull(func|extern|exn)ref\b/g, "$1ref")
      .replace(/\(exact (\$[^\s()]+)\)/g, "$1")
      .replace(
        /\(ref (?:null )?(\$[^\s()]+|func|exn|extern)\)/g,
        (_, heap: string) => `${heap.replace(/^\$.*/, "func")}ref`,
      ),
  );
  const first = new Map<string, string>();
  const same = new Map<string, string>();
  for (const field of lowered) {
    const [, name = "", type = ""] = /^ \(type (\$\S+) ([\s\S]*)\)$/.exec(field) ?? [];
    if (name === "") continue;
    const known = first.get(type);
    if (known === undefined) first.set(type, name);
    else same.set(name, known);
  }
  const isRepeated = (field: string) => same.has(/^ \(type (\$\S+)/.exec(field)?.[1] ?? "");
  return lowered
    .filter((field) => !isRepeated(field))
    .map((field) => field.replace(/\(type (\$[^\s()]+)\)/g, (_, name: string) => `(type ${same.get(name) ?? name})`));
}

function signatureOf(field: string): { params: string[]; results: string[] } {
  const [head = ""] = field.split("\n");
  const list = (kind: string) =>
    [...head.matchAll(new RegExp(`\\(${kind} ([^$()]*(?:\\([^()]*\\)[^$()]*)*)\\)`, "g"))].flatMap(([, types = ""]) =>
      [...types.matchAll(/\((ref [^)]*)\)|(\w+)/g)].map(([, ref, plain]) => ref ?? plain ?? ""),
    );
  const named = [...head.matchAll(/\(param \$\S+ (\w+|\([^)]*\))\)/g)].map(([, type = ""]) => type);
  return { params: named.length > 0 ? named : list("param"), results: list("result") };
}

function constantOf(type: string, number: number): string {
  if (type === "v128") return `(v128.const i32x4 ${number} 1 2 3)`;
  if (/^[if]\d/.test(type)) return `(${type}.const ${number})`;
  return `(ref.null ${type.startsWith("extern") ? "extern" : type.startsWith("exn") ? "exn" : "func"})`;
}

function logged(type: string): string {
  return /^[ifv]\d/.test(type) ? `(call $log-${type})` : "(call $log-i32 (ref.is_null))";
}

/** What the generator's own host would do is done in the module, but for the logging. */
function withoutImports(fields: readonly string[]): string[] {
  const imports: string[] = ["i32", "i64", "f32", "f64"].map(
    (type) => ` (import "env" "log_${type}" (func $log-${type} (param ${type})))`,
  );
  const defined = [
    " (tag $thrown-by-host (param i32))",
    " (func $log-v128 (param v128) (call $log-i64 (i64x2.extract_lane 0 (local.get 0))) (call $log-i64 (i64x2.extract_lane 1 (local.get 0))))",
  ];
  const globals: string[] = [];
  const others: string[] = [];
  for (const field of fields) {
    const [, what = "", name = "", rest = ""] =
      /^ \(import "[^"]*" "[^"]*" \((\w+) (\$\S+?)(?: ([\s\S]*))?\)\)$/.exec(field) ?? [];
    if (what === "") others.push(field);
    else if (/^\$log-/.test(name)) continue;
    else if (what === "tag") defined.push(` (tag ${name} ${rest})`);
    else if (what === "global")
      globals.push(` (global ${name} ${rest} ${constantOf(rest.replace(/\(mut (.*)\)/, "$1"), 7)})`);
    else if (name === "$throw") defined.push(` (func $throw (param i32) (throw $thrown-by-host (local.get 0)))`);
    else {
      const { results } = signatureOf(`(func ${rest})`);
      defined.push(` (func ${name} ${rest} ${results.map((type) => constantOf(type, 3)).join(" ")})`);
    }
  }
  const imported = new Map(globals.map((field) => [field.split(" ")[2], field.slice(field.lastIndexOf(" ("), -1)]));
  const constant = (field: string) =>
    field.startsWith(" (global")
      ? field.replace(/\(global\.get (\$[^\s()]+)\)/g, (get, name: string) => imported.get(name) ?? get)
      : field;
  return [...imports, ...globals, ...others.map(constant), ...defined];
}

const NEWER = /try_table|throw_ref|\bexn|exnref/;
/** Which is refused. */
const EXCEPTION_TABLE = /\$exnref_table/;

/** Functions that use what is unwanted trap at once; whatever else uses it is gone, and what uses that. */
function without(unwanted: RegExp, fields: readonly string[]): string[] {
  const isUnwanted = (text: string) => unwanted.test(text);
  const gone = new Set<string>();
  const left = fields.filter((field) => {
    const [, name] = /^ \((?:table|global|elem|type|func|tag) (\$\S+)/.exec(field) ?? [];
    const [head = ""] = field.split("\n");
    if (!isUnwanted(field.startsWith(" (func") ? head : field)) return true;
    if (name !== undefined) gone.add(name);
    return false;
  });
  for (;;) {
    const mentions = (text: string) => [...text.matchAll(/\$[^\s()]+/g)].some(([name]) => gone.has(name));
    const before = gone.size;
    for (const [index, field] of left.entries()) {
      const [head = "", ...body] = field.split("\n");
      if (!isUnwanted(body.join("\n")) && !mentions(field)) continue;
      const isFunction = head.startsWith(" (func");
      const isList = head.startsWith(" (elem");
      if (isFunction && !mentions(head)) left[index] = `${head}\n  (unreachable)\n )`;
      else if (isList) left[index] = field.replace(/\$[^\s()]+/g, (name) => (gone.has(name) ? "" : name));
      else {
        const [, name] = /^ \(\w+ (\$\S+)/.exec(field) ?? [];
        if (name !== undefined) gone.add(name);
        left[index] = "";
      }
    }
    if (gone.size === before) return left.filter((field) => field !== "");
  }
}
