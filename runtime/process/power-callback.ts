/**
 * How a guest is told, on resume, that the power had failed. docs/persistence-model.md#the-callback
 *
 * An export `vermilion_on_power_restored` is called. Otherwise a plain C program that called `signal(SIGPWR, f)` gets the
 * signal as wasi-libc's emulation would deliver it: `f` is asked of the guest's own `signal`, found by its name in
 * the name section or by export, which returns the handler that it replaces. `raise` would do, but only programs that call
 * it have it; all it does is to call the handler through the table.
 */
import { EXPORT } from "../instrument/instrument.js";
import { ExternalKind, typeOfFunction } from "../wasm/module.js";
import { ValueType } from "../wasm/value-types.js";
import type { Program } from "./program.js";

const CALLBACK = "vermilion_on_power_restored";
const SIGPWR = 30;
const SIG_DFL = 0;

type Fn = (...args: unknown[]) => unknown;

/**
 * The name section comes first: what a linker exports from a command is a wrapper, which also runs the program's
 * constructors and destructors, and so would flush a buffer that the failure interrupted being flushed.
 */
function functionNamed(program: Program, name: string, paramCount: number, resultCount: number): number | undefined {
  const { module, names } = program;
  const exported = module.exports.find((entry) => entry.kind === ExternalKind.function && entry.name === name);
  const index = [...names].find(([, candidate]) => candidate === name)?.[0] ?? exported?.index;
  if (index === undefined || index < module.importedFunctionCount || index >= module.functionTypes.length) {
    return undefined;
  }
  const { params, results } = typeOfFunction(module, index);
  const allI32 = [...params, ...results].every((type) => type === ValueType.i32);
  return params.length === paramCount && results.length === resultCount && allI32 ? index : undefined;
}

/**
 * The call that tells the guest, or undefined when it did not ask to be told.
 *
 * @param functionAt without it only the question is answered.
 */
export function findPowerCallback(
  program: Program,
  exports: Record<string, unknown>,
  functionAt: (index: number) => Fn | null = () => null,
): (() => void) | undefined {
  const own = exports[CALLBACK];
  if (typeof own === "function") {
    const inner = functionNamed(program, CALLBACK, 0, 0);
    return () => void ((inner === undefined ? own : functionAt(inner)) as Fn)();
  }
  const signal = functionNamed(program, "signal", 2, 1);
  if (signal === undefined) return undefined;
  return () => {
    const setHandler = functionAt(signal);
    const handler = setHandler?.(SIGPWR, SIG_DFL);
    setHandler?.(SIGPWR, handler);
    // A function pointer of C is an index into the first table.
    const table = exports[EXPORT.table(0)];
    if (handler === SIG_DFL || typeof handler !== "number" || !(table instanceof WebAssembly.Table)) return;
    if (handler < table.length) (table.get(handler) as Fn | null)?.(SIGPWR);
  };
}
