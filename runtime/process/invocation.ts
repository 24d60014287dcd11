/** Which export a command calls, with which arguments, and how its results read. */
import { VermilionError } from "../../pmem/error.js";
import { ExternalKind, type Module, typeOfFunction } from "../wasm/module.js";
import { ValueType } from "../wasm/value-types.js";
import type { Command } from "./command.js";
import type { EntryCall } from "./stacks.js";

type Value = number | bigint;

/** What a reactor wants called once, before its other functions. */
export const INITIALIZER = "_initialize";

/**
 * A module without `_start` that wants to be initialized:
 * https://github.com/WebAssembly/WASI/blob/main/legacy/application-abi.md
 */
export function isReactor(module: Module): boolean {
  const functions = module.exports.filter(({ kind }) => kind === ExternalKind.function);
  const initializer = functions.find(({ name }) => name === INITIALIZER);
  if (initializer === undefined || functions.some(({ name }) => name === "_start")) return false;
  const { params, results } = typeOfFunction(module, initializer.index);
  return params.length === 0 && results.length === 0;
}

/** NO_SUCH_EXPORT, BAD_ARGUMENT (the arguments are no numbers for the function's parameters; `_start` has any). */
export function entryOf(module: Module, { invoke, args }: Pick<Command, "invoke" | "args">): EntryCall {
  if (invoke !== null) return callOf(module, invoke, args.slice(1));
  if (exportedType(module, "_start", false).params.length > 0) {
    throw new VermilionError(
      "BAD_ARGUMENT",
      "_start takes arguments, so it is no program's; call it with --invoke _start",
    );
  }
  return { exportName: "_start", args: [] };
}

/** NO_SUCH_EXPORT, BAD_ARGUMENT. */
export function callOf(module: Module, exportName: string, args: readonly string[]): EntryCall {
  const { params } = exportedType(module, exportName, true);
  if (args.length !== params.length) {
    throw new VermilionError(
      "BAD_ARGUMENT",
      `${exportName} takes ${params.length} arguments, ${args.length} are given`,
    );
  }
  return { exportName, args: params.map((type, index) => parseValue(type, args[index] ?? "", exportName)) };
}

/** Whether two calls are of one function with the same values. */
export function sameCall(a: EntryCall, b: EntryCall): boolean {
  return (
    a.exportName === b.exportName &&
    a.args.length === b.args.length &&
    a.args.every((value, index) => Object.is(value, b.args[index]))
  );
}

/** As a user would type it. */
export function describeCall({ exportName, args }: EntryCall): string {
  return [exportName, ...args.map((value) => (Object.is(value, -0) ? "-0" : String(value)))].join(" ");
}

/** One line a result, as `wasmtime run --invoke` prints them. */
export function formatResults(module: Module, exportName: string, results: readonly Value[]): string[] {
  const types = exportedType(module, exportName, true).results;
  return results.map((value, index) => {
    if (Object.is(value, -0)) return "-0";
    return types[index] === ValueType.f32 ? shortestF32(Number(value)) : String(value);
  });
}

function exportedType(module: Module, name: string, invoked: boolean) {
  const functions = module.exports.filter(({ kind }) => kind === ExternalKind.function);
  const found = functions.find((entry) => entry.name === name);
  if (found !== undefined) return typeOfFunction(module, found.index);
  const names = functions
    .slice(0, 8)
    .map((entry) => (/^[\w.-]+$/.test(entry.name) ? entry.name : JSON.stringify(entry.name)));
  const others = names.length === 0 ? "it exports no function" : `it exports ${names.join(", ")}`;
  const next = invoked ? others : `name a function with --invoke: ${others}`;
  throw new VermilionError("NO_SUCH_EXPORT", `the module exports no function "${name}"; ${next}`);
}

function parseValue(type: ValueType, text: string, invoke: string): Value {
  const refuse = (what: string): never => {
    throw new VermilionError("BAD_ARGUMENT", `"${text}" is not ${what}, which ${invoke} takes there`);
  };
  switch (type) {
    case ValueType.i32:
    case ValueType.i64: {
      const [bits, what] = type === ValueType.i32 ? [32, "an i32"] : [64, "an i64"];
      if (!/^[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(text)) return refuse(what);
      const negative = text.startsWith("-");
      const magnitude = BigInt(text.replace(/^[+-]/, ""));
      const value = negative ? -magnitude : magnitude;
      if (value >= 1n << BigInt(bits) || value < -(1n << BigInt(bits - 1))) return refuse(what);
      return type === ValueType.i32 ? Number(BigInt.asIntN(32, value)) : BigInt.asIntN(64, value);
    }
    case ValueType.f32:
    case ValueType.f64: {
      const value = parseFloatText(text);
      return value ?? refuse("a number");
    }
    default:
      throw new VermilionError("BAD_ARGUMENT", `${invoke} takes a value that cannot be written on a command line`);
  }
}

function parseFloatText(text: string): number | undefined {
  const special: Readonly<Record<string, number>> = { inf: Number.POSITIVE_INFINITY, nan: Number.NaN };
  const sign = text.startsWith("-") ? -1 : 1;
  const body = text.replace(/^[+-]/, "");
  const named = special[body.toLowerCase()];
  if (named !== undefined) return sign * named;
  return /^[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?$|^[0-9]+\.$/.test(body) ? sign * Number(body) : undefined;
}

/** The shortest decimal text that is this f32 and no other. */
function shortestF32(value: number): string {
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(value);
}
