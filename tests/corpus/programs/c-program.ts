/** Programs written for the corpus, in C and C++. */
import { cached } from "../build-cache.js";
import { source, support } from "../paths.js";
import type { Program } from "../program.js";
import { runCommand } from "../run-command.js";
import { clang, clangxx, type Toolchain } from "../toolchains.js";

export interface Compilation {
  readonly toolchain?: () => Toolchain;
  readonly options?: readonly string[];
  readonly sources: readonly string[];
  /** Stand behind the sources. */
  readonly libraries?: readonly string[];
  /** Files that the sources include. */
  readonly headers?: readonly string[];
}

/** Compiles into the cache. Headers of the system are told apart by the compiler's version only. */
export function compile(name: string, compilation: Compilation): string {
  const { toolchain = clang, options = ["-O2"], sources, libraries = [], headers = [] } = compilation;
  const { command, version } = toolchain();
  const words = [...command, ...options, ...libraries, version];
  return cached("modules", `${name}.wasm`, { words, files: [...sources, ...headers] }, (output) => {
    runCommand([...command, ...options, ...sources, ...libraries, "-o", output]);
  });
}

export type Details = Omit<Program, "name" | "build"> & { readonly options?: readonly string[] };

/** A program of one C file, tests/corpus/src/<name>.c. */
export function cProgram(name: string, { options = ["-O2"], ...details }: Details): Program {
  return { name, ...details, build: () => compile(name, { options, sources: [source(`${name}.c`)] }) };
}

export const setjmpOptions = ["-mllvm", "-wasm-enable-sjlj", `-I${support("")}`] as const;

/** A program of one C file that jumps: with the run-time part of setjmp and longjmp. */
export function jumpingProgram(name: string, { options = ["-O2"], ...details }: Details): Program {
  const compilation: Compilation = {
    options: [...options, ...setjmpOptions],
    sources: [source(`${name}.c`), support("setjmp.c")],
    headers: [support("setjmp.h")],
  };
  return { name, ...details, build: () => compile(name, compilation) };
}

/** A program of one C++ file, tests/corpus/src/<name>.cpp, with or without exceptions. */
export function cxxProgram(name: string, exceptions: boolean, details: Details): Program {
  const options = ["-O2", "-std=c++20", exceptions ? "-fwasm-exceptions" : "-fno-exceptions"];
  const sources = [source(`${name}.cpp`), ...(exceptions ? [support("cxx-exceptions.cpp")] : [])];
  return { name, ...details, build: () => compile(name, { toolchain: clangxx, options, sources }) };
}
