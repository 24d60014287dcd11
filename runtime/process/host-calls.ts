/**
 * The guest's imports: host functions, each call of which is a safepoint.
 *
 * A call is left in one of three ways: before it is made (it is made on resume), while it blocks and has done nothing
 * (the same, unless the program wants to be told), or when it has been made (its results are what is saved).
 */
import { invariant, VermilionError } from "../../pmem/error.js";
import { buildNearCall } from "../instrument/near-call.js";
import { WASI_MODULES } from "../instrument/own-modules.js";
import { BLOCKED_HOST_CALL, HOST_CALL, HOST_RETURN } from "../instrument/places.js";
import { WASI_TAKING_NUMBERS } from "../wasi/index.js";
import { ExternalKind, MOST_MEMORY_PAGES, typeOfFunction } from "../wasm/module.js";
import { type FunctionType, functionTypeKey, ValueType } from "../wasm/value-types.js";
import { FREQUENT_CALLS, isFrequentCall } from "./frequent-calls.js";
import { type HostFunction, type HostResult, type Injection, type MachineHost, RESTART, TELL } from "./machine-host.js";
import type { Program } from "./program.js";

/** The name in an injection that every call has. */
export const ANY_CALL = "*";

type Values = readonly (number | bigint)[];

/** Why a call is left: a failure strikes; or a persistence point is due, or the program to be told, and it is then made again. */
type Reason = "failure" | "point" | "callback";

/** What a call that is left asks of its machine. */
interface Safepoints {
  /** Whether the persistence point that is due is to be made in front of a call of that function. */
  isPointsMoment(index: number): boolean;
  /** Crosses a safepoint: says whether it is the one at which to fail. */
  burnFuel(): boolean;
  /** Saves the frames, with a record of the call innermost. */
  suspend(reason: Reason, place: number, types: readonly ValueType[], values: Values): never;
  /** Ends the run with an error. */
  leave(error: unknown): never;
}

/**
 * The import object of a program's instance. Memories are made here; `wrap` makes what the guest calls.
 *
 * @throws VermilionError UNKNOWN_IMPORT for an import that the host does not have.
 */
export function importsOf(
  { module }: Program,
  host: MachineHost,
  wrap: (index: number, from: string, name: string, fn: HostFunction) => WebAssembly.ImportValue,
): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  let functionIndex = 0;
  let memoryIndex = 0;
  for (const { module: from, name, kind } of module.imports) {
    imports[from] ??= {};
    const namespace = imports[from];
    if (kind === ExternalKind.function) {
      const fn = host.functions[from]?.[name];
      if (fn === undefined) {
        throw new VermilionError(
          "UNKNOWN_IMPORT",
          `the module needs the function "${from}"."${name}", which nobody gives`,
        );
      }
      namespace[name] = wrap(functionIndex++, from, name, fn);
    } else {
      invariant(kind === ExternalKind.memory, "other imports are refused before (imports.ts)");
      const limits = module.memories[memoryIndex++];
      namespace[name] = new WebAssembly.Memory({
        initial: limits?.minimum ?? 0,
        maximum: limits?.maximum ?? MOST_MEMORY_PAGES,
        shared: limits?.shared ?? false,
      });
    }
  }
  return imports;
}

const nearCalls = new Map<string, WebAssembly.Module>();

/** A function of that type, whose small arguments of 64 bits go to `near` as numbers, and others to `far`. */
function nearCall(type: FunctionType, near: HostFunction, far: HostFunction): WebAssembly.ImportValue {
  const key = functionTypeKey(type);
  let module = nearCalls.get(key);
  if (module === undefined) {
    module = new WebAssembly.Module(buildNearCall(type));
    nearCalls.set(key, module);
  }
  const host = { near, far } as WebAssembly.ModuleImports;
  return new WebAssembly.Instance(module, { host }).exports["call"] as WebAssembly.ExportValue;
}

export class HostCalls {
  readonly #program: Program;
  readonly #host: MachineHost;
  readonly #safepoints: Safepoints;
  #injected: Injection["atCall"];
  #callsLeft = 0;
  /** The next call is the one that was left for a persistence point. */
  #madeAgain = false;

  constructor(program: Program, host: MachineHost, safepoints: Safepoints) {
    this.#program = program;
    this.#host = host;
    this.#safepoints = safepoints;
  }

  /** Begins a run. */
  arm(injected: Injection["atCall"]): void {
    this.#injected = injected;
    this.#callsLeft = injected?.ordinal ?? 0;
  }

  /** What the guest calls. */
  wrap(index: number, from: string, name: string, fn: HostFunction): WebAssembly.ImportValue {
    const call = this.#passing(index, from, name, fn);
    if (!WASI_MODULES.has(from) || !WASI_TAKING_NUMBERS.has(name)) return call;
    return nearCall(typeOfFunction(this.#program.module, index), this.#passing(index, from, name, fn), call);
  }

  #passing(index: number, from: string, name: string, fn: HostFunction): HostFunction {
    const { points } = this.#host;
    const slowly = this.#asking(index, from, name, fn);
    if (!WASI_MODULES.has(from) || !isFrequentCall(name)) return slowly;
    if (this.#program.mode === "exact" || points?.passesCall === undefined) return slowly;
    if (this.#isAskedAfter(from)) return slowly;
    return FREQUENT_CALLS[name](fn, {
      passes: () => {
        if (this.#injected !== undefined || points.passesCall?.() !== true) return false;
        this.#madeAgain = false;
        return true;
      },
      slowly,
      left: (result, args) => this.#left(result, index, args),
      leave: (error) => this.#safepoints.leave(error),
    });
  }

  /** One closure, called by the guest directly: a second around it would double what a call costs at first. */
  #asking(index: number, from: string, name: string, fn: HostFunction): HostFunction {
    const restarts = this.#host.unrestartable?.has(from) !== true;
    const { points } = this.#host;
    const isExact = this.#program.mode === "exact";
    const isAskedAfter = this.#isAskedAfter(from);
    return (...args) => {
      if (!isExact && points?.passesCall?.() === true) this.#madeAgain = false;
      else {
        const reason = this.#askBefore(isExact, index);
        if (reason !== undefined) this.#suspendBefore(reason, HOST_CALL, index, args);
      }
      const callsLeft = this.#callsLeft;
      const injected = this.#injected !== undefined && this.#countCall(name);
      if (injected && this.#injected?.when === "before") this.#suspendBefore("failure", HOST_CALL, index, args);
      let result: HostResult;
      try {
        result = fn(...args);
      } catch (error) {
        this.#safepoints.leave(error);
      }
      if ((result === TELL || result === RESTART) && restarts) {
        this.#callsLeft = callsLeft; // counted when it is made again
        this.#left(result, index, args);
      }
      if (injected) this.#suspendAfter("failure", index, result);
      if (isAskedAfter && points?.isDueAfterCall?.() === true) this.#suspendAfter("point", index, result);
      return result;
    };
  }

  #isAskedAfter(from: string): boolean {
    const { points } = this.#host;
    return points?.isDueAfterCall !== undefined && points.askedAfter?.has(from) !== false;
  }

  /** The call may have returned because it is to be left; otherwise that is its result. */
  #left(result: HostResult, index: number, args: Values): HostResult {
    if (result === TELL) this.#suspendBefore("callback", HOST_CALL, index, args);
    if (result === RESTART) {
      const point = this.#host.points !== undefined && !this.#host.failurePending();
      this.#suspendBefore(point ? "point" : "failure", BLOCKED_HOST_CALL, index, args);
    }
    return result;
  }

  /** Not given the call's arguments: the engine then makes an array of them only for a call that is left. */
  #askBefore(isExact: boolean, index: number): Reason | undefined {
    const wanted = isExact && this.#safepoints.burnFuel();
    if (wanted || this.#host.failurePending()) return "failure";
    return this.#isPointDue(index) ? "point" : undefined;
  }

  /** A call that is made again has been asked about: otherwise it would never be made. */
  #isPointDue(index: number): boolean {
    const madeAgain = this.#madeAgain;
    this.#madeAgain = false;
    return !madeAgain && this.#host.points?.isDueAtCall() === true && this.#safepoints.isPointsMoment(index);
  }

  #countCall(name: string): boolean {
    if (this.#injected?.name !== name && this.#injected?.name !== ANY_CALL) return false;
    this.#callsLeft--;
    return this.#callsLeft === 0;
  }

  #suspendBefore(reason: Reason, place: number, index: number, args: Values): never {
    this.#madeAgain = reason !== "failure";
    const { params } = typeOfFunction(this.#program.module, index);
    const values = args.map((arg, at) => (params[at] === ValueType.i64 ? BigInt(arg) : arg));
    this.#safepoints.suspend(reason, place | index, params, values);
  }

  #suspendAfter(reason: Reason, index: number, result: HostResult): never {
    const { results } = typeOfFunction(this.#program.module, index);
    const values = results.length === 0 || result === undefined ? [] : result;
    this.#safepoints.suspend(reason, HOST_RETURN | index, results, typeof values === "object" ? values : [values]);
  }
}
