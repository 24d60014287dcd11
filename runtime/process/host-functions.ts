/**
 * Functions that a host gives a guest beyond WASI: a JavaScript module that the guest's thread loads, since functions
 * cannot be sent to another thread. docs/host-functions.md
 *
 * F1  What a function throws, or returns in the wrong type, never reaches the guest, whose handlers could catch it: the
 *     guest traps instead.
 * F2  A function keeps its state for itself. Nothing of it is in an image.
 */
import { VermilionError } from "../../pmem/error.js";
import { WASI_MODULES } from "../instrument/own-modules.js";
import { ExternalKind, type Module, typeOfFunction } from "../wasm/module.js";
import { ValueType } from "../wasm/value-types.js";
import type { HostFunction, HostResult } from "./machine-host.js";
import { printAtOnce } from "./synchronous-output.js";

/** What the functions may use of the guest that calls them. */
export interface HostedGuest {
  /** The guest's first memory. Its `buffer` is another one after it has grown, so ask for it in each call. */
  readonly memory: WebAssembly.Memory;
}

type GivenFunction = (...args: never[]) => unknown;

/** Functions by import module and name: numbers for i32, f32 and f64, bigints for i64; an array for several results. */
export type HostImports = Readonly<Record<string, Readonly<Record<string, GivenFunction>>>>;

/** What a module of host functions exports by default. */
export type HostModule = HostImports | ((guest: HostedGuest) => HostImports);

/** Makes a call, or answers it from a log. */
type LoggedCall = (label: string, call: () => HostResult) => HostResult;

/** Across copies of this package: the user's module may load another one. */
const REPLAYABLE = Symbol.for("vermilion.replayable");

/**
 * Marks a host function whose result is all that the guest gets of it: it writes no guest memory, and it need not be
 * called again when its result is known. A replay may then take the result from a log.
 */
export function replayable<Fn extends GivenFunction>(fn: Fn): Fn {
  return Object.defineProperty(fn, REPLAYABLE, { value: true });
}

/** A host function has failed: for the guest, a trap. */
export class HostFunctionFailure extends Error {
  override readonly name = "HostFunctionFailure";
}

const NUMERIC: ReadonlySet<ValueType> = new Set([ValueType.i32, ValueType.i64, ValueType.f32, ValueType.f64]);

/** None, until they are loaded. */
export class HostFunctions {
  readonly #imports = new Map<string, ReadonlyMap<string, GivenFunction>>();
  #memory: WebAssembly.Memory | undefined;

  /** IMPORTS_INVALID: there is no such module, it fails, or it exports something else. */
  static async load(href: string): Promise<HostFunctions> {
    const functions = new HostFunctions();
    const guest: HostedGuest = {
      get memory() {
        if (functions.#memory === undefined) throw new Error("the guest has no memory yet: use it in a host function");
        return functions.#memory;
      },
    };
    let exported: unknown;
    try {
      printAtOnce();
      exported = ((await import(href)) as { readonly default?: unknown }).default;
      if (typeof exported === "function") exported = (exported as (guest: HostedGuest) => unknown)(guest);
    } catch (cause) {
      throw invalid(
        href,
        `the module with host functions cannot be loaded: ${messageOf(cause)}; see docs/host-functions.md`,
        cause,
      );
    }
    if (isPromise(exported)) {
      throw invalid(
        href,
        "its default export is an asynchronous function; export one that returns the functions at once",
      );
    }
    for (const [module, given] of entriesOf(exported, href, "its default export")) {
      if (WASI_MODULES.has(module)) {
        throw invalid(href, `${module} is the system interface's; give the functions another module name`);
      }
      const names = new Map<string, GivenFunction>();
      for (const [name, fn] of entriesOf(given, href, `"${module}" in its default export`)) {
        if (typeof fn !== "function")
          throw invalid(
            href,
            `"${module}"."${name}" is no function; export an object of modules that are objects of functions`,
          );
        names.set(name, fn as GivenFunction);
      }
      functions.#imports.set(module, names);
    }
    return functions;
  }

  has(module: string, name: string): boolean {
    return this.#imports.get(module)?.has(name) === true;
  }

  /** The functions that a program imports, as a machine calls them. */
  boundTo(module: Module, call: LoggedCall): Record<string, Record<string, HostFunction>> {
    const bound: Record<string, Record<string, HostFunction>> = {};
    let index = 0;
    for (const { module: from, name, kind } of module.imports) {
      if (kind !== ExternalKind.function) continue;
      const { results } = typeOfFunction(module, index++);
      const fn = this.#imports.get(from)?.get(name);
      if (fn === undefined) continue;
      bound[from] ??= {};
      const label = `"${from}"."${name}"`;
      const made = guarded(label, fn, results);
      bound[from][name] = (...args) => call(label, () => made(...args));
    }
    return bound;
  }

  /** The first function that a program imports and whose calls cannot be answered from a log: it is not marked. */
  unreplayable(module: Module): string | undefined {
    const found = module.imports.find(({ module: from, name, kind }) => {
      const fn = kind === ExternalKind.function ? this.#imports.get(from)?.get(name) : undefined;
      return fn !== undefined && !(REPLAYABLE in fn);
    });
    return found && `"${found.module}"."${found.name}"`;
  }

  /** Before the guest runs. */
  attach(memory: WebAssembly.Memory): void {
    this.#memory = memory;
  }
}

/** Whether a type can cross to JavaScript and be saved: references and vectors cannot. */
export function isNumeric(type: ValueType): boolean {
  return NUMERIC.has(type);
}

/** One that nobody waits for: what it fails with is of no interest. */
function isPromise(value: unknown): boolean {
  const { then } = (typeof value === "object" && value !== null ? value : {}) as Partial<PromiseLike<unknown>>;
  if (typeof then !== "function") return false;
  then.call(value, undefined, () => {});
  return true;
}

/** F1. */
function guarded(label: string, fn: GivenFunction, results: readonly ValueType[]): HostFunction {
  return (...args) => {
    let returned: unknown;
    try {
      returned = fn(...(args as never[]));
    } catch (cause) {
      throw new HostFunctionFailure(`the host function ${label} threw: ${messageOf(cause)}`, { cause });
    }
    if (isPromise(returned)) {
      throw new HostFunctionFailure(`the host function ${label} returned a promise, and host functions cannot wait`);
    }
    if (results.length === 0) return undefined;
    if (results.length === 1) return converted(label, results[0] as ValueType, returned);
    if (!Array.isArray(returned) || returned.length !== results.length) {
      throw new HostFunctionFailure(`the host function ${label} must return an array of ${results.length} values`);
    }
    return results.map((type, index) => converted(label, type, returned[index]));
  };
}

function converted(label: string, type: ValueType, value: unknown): number | bigint {
  const wanted = type === ValueType.i64 ? "bigint" : "number";
  if (typeof value === "bigint" && wanted === "bigint") return BigInt.asIntN(64, value);
  if (typeof value === "number" && wanted === "number") return type === ValueType.i32 ? value | 0 : value;
  throw new HostFunctionFailure(`the host function ${label} returned a value of type ${typeof value}, not a ${wanted}`);
}

function entriesOf(value: unknown, href: string, what: string): [string, unknown][] {
  if (typeof value === "object" && value !== null) return Object.entries(value);
  throw invalid(
    href,
    `${what} is no object; export default { module: { name: function } }, or a function that returns it`,
  );
}

function invalid(href: string, reason: string, cause?: unknown): VermilionError {
  return new VermilionError("IMPORTS_INVALID", `${href}: ${reason}`, { cause });
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
