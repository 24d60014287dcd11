/**
 * The guest's imports: host functions, each call of which is a safepoint.
 *
 * A call is left in one of three ways: before it is made (it is made on resume), while it blocks and has done nothing
 * (the same, unless the program wants to be told), or when it has been made (its results are what is saved).
 */
import { VermilionError } from "../../pmem/error.js";
import { BLOCKED_HOST_CALL, HOST_CALL, HOST_RETURN } from "../instrument/continuation.js";
import { ExternalKind, typeOfFunction } from "../wasm/module.js";
import type { Fuel } from "./fuel.js";
import { type HostFunction, type Injection, type MachineHost, RESTART } from "./machine-host.js";
import type { MachineInstance } from "./machine-instance.js";
import type { Program } from "./program.js";

type Values = readonly (number | bigint)[];

/** A host function that the guest imports. */
interface ImportedFunction {
  readonly index: number;
  readonly name: string;
  readonly call: HostFunction;
}

/**
 * The import object of a program's instance. Memories are made here, the functions go through `call`.
 *
 * @throws VermilionError UNKNOWN_IMPORT for an import that the host does not have.
 */
export function importsOf(
  { module }: Program,
  host: MachineHost,
  call: (fn: ImportedFunction, args: (number | bigint)[]) => number | bigint | undefined,
): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  let functionIndex = 0;
  let memoryIndex = 0;
  for (const { module: from, name, kind } of module.imports) {
    imports[from] ??= {};
    const namespace = imports[from];
    if (kind === ExternalKind.function) {
      const given = host.functions[from]?.[name];
      if (given === undefined) {
        throw new VermilionError(
          "UNKNOWN_IMPORT",
          `the module needs the function "${from}"."${name}", which nobody gives`,
        );
      }
      const fn: ImportedFunction = { index: functionIndex++, name, call: given };
      namespace[name] = (...args: (number | bigint)[]) => call(fn, args);
    } else if (kind === ExternalKind.memory) {
      const limits = module.memories[memoryIndex++];
      namespace[name] = new WebAssembly.Memory({
        initial: limits?.minimum ?? 0,
        maximum: limits?.maximum ?? 65536,
        shared: limits?.shared ?? false,
      });
    } else {
      throw new VermilionError("UNKNOWN_IMPORT", `the module needs "${from}"."${name}", which is not a function`);
    }
  }
  return imports;
}

export class HostCalls {
  readonly #instance: MachineInstance;
  readonly #host: MachineHost;
  readonly #fuel: Fuel;
  /** Every call is counted as a safepoint. */
  readonly #exact: boolean;
  #injected: Injection["atCall"];
  #callsLeft = 0;

  constructor(instance: MachineInstance, host: MachineHost, fuel: Fuel) {
    this.#instance = instance;
    this.#host = host;
    this.#fuel = fuel;
    this.#exact = instance.program.mode === "exact";
  }

  /** Begins a run. */
  arm(injected: Injection["atCall"]): void {
    this.#injected = injected;
    this.#callsLeft = injected?.ordinal ?? 0;
  }

  call({ index, name, call }: ImportedFunction, args: (number | bigint)[]): number | bigint | undefined {
    const wanted = this.#exact && this.#fuel.burn();
    if (wanted || this.#host.failurePending()) this.#suspendBefore(HOST_CALL, index, args);
    const injected = this.#injected !== undefined && this.#countCall(name);
    if (injected && this.#injected?.when === "before") this.#suspendBefore(HOST_CALL, index, args);
    let result: number | bigint | undefined;
    try {
      result = call(...args);
    } catch (error) {
      this.#instance.leave(error);
    }
    if (result === RESTART) this.#suspendBefore(BLOCKED_HOST_CALL, index, args);
    if (injected) this.#suspendAfter(index, result);
    return result;
  }

  #countCall(name: string): boolean {
    if (this.#injected?.name !== name) return false;
    this.#callsLeft--;
    return this.#callsLeft === 0;
  }

  #suspendBefore(place: number, index: number, args: Values): never {
    this.#suspend(place | index, typeOfFunction(this.#instance.program.module, index).params, args);
  }

  #suspendAfter(index: number, result: number | bigint | undefined): never {
    const { results } = typeOfFunction(this.#instance.program.module, index);
    this.#suspend(HOST_RETURN | index, results, results.length === 0 || result === undefined ? [] : [result]);
  }

  #suspend(place: number, ...[types, values]: Parameters<MachineInstance["pushValues"]>): never {
    this.#instance.beginUnwinding();
    this.#instance.pushValues(types, values);
    this.#instance.pushRecord(place);
    this.#instance.unwind();
  }
}
