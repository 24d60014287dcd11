import { VermilionError } from "../../pmem/error.js";
import { WASI_SIGNATURES } from "../wasi/index.js";
import { ExternalKind, type Module, typeOfFunction } from "../wasm/module.js";
import { ValueType } from "../wasm/value-types.js";
import { type HostFunctions, isNumeric } from "./host-functions.js";

const WASI_MODULES = new Set(["wasi_snapshot_preview1", "wasi_unstable"]);
const LETTERS: ReadonlyMap<number, string> = new Map([
  [ValueType.i32, "i"],
  [ValueType.i64, "I"],
]);

/**
 * Before anything runs: every import is a function that we have, with the types that it has, or one that is given.
 * UNKNOWN_IMPORT: names the first that is not.
 */
export function checkImports(module: Module, given: HostFunctions): void {
  let functionIndex = 0;
  for (const { module: from, name, kind } of module.imports) {
    if (kind !== ExternalKind.function) continue;
    const { params, results } = typeOfFunction(module, functionIndex++);
    if (given.has(from, name)) {
      if ([...params, ...results].every(isNumeric)) continue;
      throw new VermilionError(
        "UNKNOWN_IMPORT",
        `the module imports "${from}"."${name}" with references or vectors, which a host function cannot take or return`,
      );
    }
    const signatures: Readonly<Record<string, string>> = WASI_SIGNATURES;
    const expected = WASI_MODULES.has(from) && Object.hasOwn(signatures, name) ? signatures[name] : undefined;
    if (expected === undefined) {
      throw new VermilionError(
        "UNKNOWN_IMPORT",
        `the module needs the function "${from}"."${name}", which is not part of WASI preview1; ` +
          "build it for wasm32-wasi, or give it that function (imports)",
      );
    }
    const letters = params.map((type) => LETTERS.get(type) ?? "?").join("");
    const result = results.map((type) => LETTERS.get(type) ?? "?").join("");
    if (letters === expected && result === (name === "proc_exit" ? "" : "i")) continue;
    throw new VermilionError("UNKNOWN_IMPORT", `the module imports "${from}"."${name}" with other types than WASI's`);
  }
}
