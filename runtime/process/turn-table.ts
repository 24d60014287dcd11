import { buildRegisters, registerName, TURNS_TABLE, type TurnNumbers } from "../instrument/outer-turns.js";
import type { Fn } from "./machine-instance.js";

/** The further turns of loops that a machine has in functions of their own, and the registers by which they get their frames. */
export class TurnTable {
  readonly #numbers: () => TurnNumbers;
  readonly #table = new WebAssembly.Table({ element: "anyfunc", initial: 0 });
  readonly #registers: Record<string, WebAssembly.ExportValue> = {};
  #registerCount = 0;
  /** By header: whether its code is good. */
  readonly #optimized = new Map<number, boolean>();

  /** `numbers`: of the machine's program. */
  constructor(numbers: () => TurnNumbers) {
    this.#numbers = numbers;
  }

  has(header: number): boolean {
    return this.#optimized.has(header);
  }

  isOptimized(header: number): boolean {
    return this.#optimized.get(header) === true;
  }

  /** Takes the place of what was there, which continuations that call it need not know. */
  set(header: number, turns: Fn, optimized: boolean): void {
    const slot = this.#numbers().slotOf(header);
    if (slot >= this.#table.length) this.#table.grow(slot + 1 - this.#table.length);
    this.#table.set(slot, turns);
    this.#optimized.set(header, optimized);
  }

  /** For a module that was built before. */
  imports(): WebAssembly.ModuleImports {
    const { registers } = this.#numbers();
    if (registers.length > this.#registerCount) {
      const module = new WebAssembly.Module(buildRegisters(registers, this.#registerCount));
      const { exports } = new WebAssembly.Instance(module);
      for (; this.#registerCount < registers.length; this.#registerCount++) {
        const name = registerName(this.#registerCount);
        this.#registers[name] = exports[name] as WebAssembly.ExportValue;
      }
    }
    return { ...this.#registers, [TURNS_TABLE]: this.#table } as WebAssembly.ModuleImports;
  }
}
