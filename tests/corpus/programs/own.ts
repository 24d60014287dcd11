/** The programs written for the corpus: one difficulty each. */
import type { Program } from "../program.js";
import { cProgram, cxxProgram, jumpingProgram } from "./c-program.js";

const lines = Array.from(
  { length: 15000 },
  (_, i) => `line ${i}: ${"abcdefghij".slice(i % 7)} ${(i * 7919) % 10007}\n`,
);

export const ownPrograms: readonly Program[] = [
  cProgram("fib", {
    about: "recursion, with an operand alive across a call",
    kind: "kernel",
    test: { args: ["35"] },
    benchmark: { args: ["43"] },
  }),
  cProgram("sieve", {
    about: "tight loops without calls",
    kind: "kernel",
    test: { args: ["1000000", "50"] },
    benchmark: { args: ["4000000", "220"] },
  }),
  cProgram("matmul", {
    about: "nested loops over doubles in locals",
    kind: "kernel",
    test: { args: ["128", "20"] },
    benchmark: { args: ["512", "12"] },
  }),
  cProgram("hash-map", {
    about: "small functions, pointers, strings",
    kind: "kernel",
    test: { args: ["200000"] },
    benchmark: { args: ["4000000"] },
  }),
  cProgram("qsort-callback", {
    about: "library code that calls back through the table",
    kind: "kernel",
    test: { args: ["40000"] },
    benchmark: { args: ["800000"] },
  }),
  cProgram("deep-recursion", {
    about: "stacks of more than 12,000 frames",
    kind: "system",
    test: { args: ["12000", "1500", "8"] },
  }),
  cProgram("printf-floats", {
    about: "formatting and parsing of doubles",
    kind: "system",
    test: { args: ["3000"] },
  }),
  cProgram("malloc-churn", {
    about: "memory that grows, and every block checked",
    kind: "system",
    test: { args: ["40000"] },
  }),
  cProgram("interpreter", {
    about: "one loop around a br_table",
    kind: "kernel",
    test: { args: ["700000"] },
    benchmark: { args: ["40000000"] },
  }),
  cProgram("mixed", {
    about: "compiled without optimisation: hundreds of locals",
    kind: "system",
    options: ["-O0"],
    test: { args: ["1500000"], exitCode: 42 },
  }),
  cProgram("simd-kernels", {
    about: "v128 locals across loops and calls",
    kind: "kernel",
    options: ["-O2", "-msimd128"],
    test: { args: ["28000"] },
    benchmark: { args: ["900000"] },
  }),
  jumpingProgram("setjmp-longjmp", {
    about: "the guest's own exceptions, caught by tag and rethrown",
    kind: "system",
    legacyExceptions: true,
    test: { args: ["80000"], exitCode: 95 },
  }),
  cxxProgram("virtual-calls", false, {
    about: "C++: virtual calls, templates, std::function",
    kind: "kernel",
    test: { args: ["60"] },
    benchmark: { args: ["3200"] },
  }),
  cxxProgram("cpp-exceptions", true, {
    about: "C++ exceptions: destructors, catch (...), rethrow",
    kind: "system",
    legacyExceptions: true,
    test: { args: ["12000"] },
  }),
  cProgram("files", {
    about: "many open files on a preopened directory",
    kind: "system",
    test: { args: ["2000"], files: {} },
  }),
  cProgram("chores", {
    about: "all that can be done to files and names, each step depending on the ones before",
    kind: "system",
    test: { args: ["120"], files: {}, stdin: lines.join(""), exitCode: 3 },
  }),
  cProgram("filter", {
    about: "standard input, half of it in the guest's buffer",
    kind: "system",
    test: { args: [], stdin: lines.join(""), exitCode: 7 },
  }),
  cProgram("sleeper", {
    about: "sleeps that a failure interrupts",
    kind: "system",
    test: { args: ["6", "30"] },
  }),
];
