/** A module of a script under one way to run it: every action can be interrupted, and then goes on in a new machine. */
import { mapSharedWord } from "../../../dist/pmem/shared-word.js";
import { Machine } from "../../../dist/runtime/process/machine.js";
import { Program } from "../../../dist/runtime/process/program.js";
import { CarriedMemories } from "../../../dist/tests/support/carried-memories.js";

/** Of an action: what goes on for so long, or so deep, is for the stack to end. */
const MOST_INTERRUPTIONS = 100;
const PRINTS = ["print", "print_i32", "print_i64", "print_f32", "print_f64", "print_i32_f32", "print_f64_f64"];

/** `failAt(run)`: the safepoint at which the nth run of an action, from 0, is interrupted; undefined: not at all. */
export const WAYS = [
  { name: "fast", program: { exact: false } },
  { name: "flag", program: { exact: false, flags: true } },
  { name: "exact", program: { exact: true } },
  { name: "tracking", program: { exact: true, tracking: true } },
  { name: "interrupted at every safepoint", program: { exact: true }, failAt: () => 1 },
  { name: "interrupted at every second safepoint", program: { exact: true }, failAt: () => 2 },
  { name: "interrupted once, at the third", program: { exact: true }, failAt: (run) => (run === 0 ? 3 : undefined) },
];

export class Subject {
  #program;
  #failAt;
  #machine;
  #memories = new CarriedMemories();
  #used = false;
  resumes = 0;

  constructor(bytes, { program, failAt = () => undefined }) {
    this.#program = Program.load(bytes, { cacheDirectory: undefined, ...program });
    this.#failAt = failAt;
    this.#machine = this.#newMachine();
  }

  #newMachine() {
    const print = () => undefined;
    return new Machine(this.#program, {
      functions: { spectest: Object.fromEntries(PRINTS.map((name) => [name, print])) },
      attachMemory: (index, memory) => {
        const { flag } = this.#program;
        if (index === 0 && flag !== undefined && mapSharedWord(memory, flag.distance) === undefined) {
          throw new Error("no room for the flag");
        }
        this.#memories.attach(index, memory);
      },
      growMemory: () => true,
      failurePending: () => false,
      exitStatus: () => undefined,
    });
  }

  /** The outcome of calling an export without arguments. */
  call(exportName) {
    let runs = 0;
    const injection = () => {
      const atSafepoint = runs < MOST_INTERRUPTIONS ? this.#failAt(runs) : undefined;
      runs++;
      return atSafepoint === undefined ? {} : { atSafepoint };
    };
    let outcome = this.#used
      ? this.#machine.call({ exportName, args: [] }, injection())
      : this.#machine.start(exportName, [], injection());
    this.#used = true;
    while (outcome.kind === "suspended") {
      this.resumes++;
      this.#memories.save();
      this.#machine = this.#newMachine();
      this.#machine.restore(outcome.state);
      outcome = this.#machine.resume({ callback: false, injection: injection() });
    }
    return outcome;
  }
}
