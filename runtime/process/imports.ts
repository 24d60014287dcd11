import { VermilionError } from "../../pmem/error.js";
import { VERMILION_MODULE, WASI_MODULES } from "../instrument/own-modules.js";
import { WASI_SIGNATURES } from "../wasi/index.js";
import { ExternalKind, type Module, typeOfFunction } from "../wasm/module.js";
import { ValueType } from "../wasm/value-types.js";
import type { FailurePlan } from "./failure-source.js";
import { ANY_CALL } from "./host-calls.js";
import { type HostFunctions, isNumeric } from "./host-functions.js";
import { PMEM_SIGNATURES } from "./pmem-calls.js";
import { POINT_SIGNATURES } from "./point-calls.js";

const OURS = { ...PMEM_SIGNATURES, ...POINT_SIGNATURES };
const LETTERS: ReadonlyMap<number, string> = new Map([
  [ValueType.i32, "i"],
  [ValueType.i64, "I"],
]);

/**
 * Before anything runs: every import is a function that we have, with the types that it has, one that is given, or a memory,
 * which is made as the module wants it. UNKNOWN_IMPORT: names the first that is not. MODULE_UNSUPPORTED: one memory under two indices.
 */
export function checkImports(module: Module, given: HostFunctions): void {
  let functionIndex = 0;
  const memories = new Set<string>();
  for (const { module: from, name, kind } of module.imports) {
    if (kind === ExternalKind.memory) {
      const named = `${from}\0${name}`;
      if (memories.has(named)) {
        throw new VermilionError("MODULE_UNSUPPORTED", `the module imports the memory "${from}"."${name}" twice`);
      }
      memories.add(named);
      continue;
    }
    if (kind !== ExternalKind.function) {
      throw new VermilionError(
        "UNKNOWN_IMPORT",
        `the module imports "${from}"."${name}", which is neither a function nor a memory; build it for wasm32-wasi`,
      );
    }
    const { params, results } = typeOfFunction(module, functionIndex++);
    if (given.has(from, name)) {
      if ([...params, ...results].every(isNumeric)) continue;
      throw new VermilionError(
        "UNKNOWN_IMPORT",
        `the module imports "${from}"."${name}" with references or vectors, which a host function cannot take or return`,
      );
    }
    const expected = signatureOf(from, name);
    if (expected === undefined) {
      throw new VermilionError(
        "UNKNOWN_IMPORT",
        `the module needs the function "${from}"."${name}", which is part neither of WASI preview1 nor of vermilion.h; ` +
          "give it that function (--imports FILE; in the library, imports), or build it for wasm32-wasi",
      );
    }
    if (lettersOf(params) === expected[0] && lettersOf(results) === expected[1]) continue;
    const owner = from === VERMILION_MODULE ? "those of vermilion.h" : "WASI's";
    throw new VermilionError("UNKNOWN_IMPORT", `the module imports "${from}"."${name}" with other types than ${owner}`);
  }
}

/** Letters of parameters and results; undefined: no function of ours. */
function signatureOf(from: string, name: string): readonly [params: string, results: string] | undefined {
  if (from === VERMILION_MODULE) return Object.hasOwn(OURS, name) ? OURS[name] : undefined;
  const signatures: Readonly<Record<string, string>> = WASI_SIGNATURES;
  const params = WASI_MODULES.has(from) && Object.hasOwn(signatures, name) ? signatures[name] : undefined;
  return params === undefined ? undefined : [params, name === "proc_exit" ? "" : "i"];
}

function lettersOf(types: readonly ValueType[]): string {
  return types.map((type) => LETTERS.get(type) ?? "?").join("");
}

/** BAD_ARGUMENT: a failure is planned at a call that the program never makes. */
export function checkPlannedCall({ imports }: Module, { atCall }: FailurePlan): void {
  if (atCall === undefined || atCall.name === ANY_CALL) return;
  const names = new Set(imports.filter(({ kind }) => kind === ExternalKind.function).map(({ name }) => name));
  if (names.has(atCall.name)) return;
  throw new VermilionError(
    "BAD_ARGUMENT",
    `a failure at "${atCall.name}": the program has no such host call; it has ${[...names].join(", ") || "none"}`,
  );
}
