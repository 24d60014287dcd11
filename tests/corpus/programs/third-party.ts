/** Programs of others, in C: their sources come out of packages. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { debianSource, npmPackage, pypiSource } from "../packages.js";
import { script, source, support } from "../paths.js";
import type { Program } from "../program.js";
import { compile, setjmpOptions } from "./c-program.js";

const emulatedSignals = ["-D_WASI_EMULATED_SIGNAL"];
const emulatedClocks = ["-D_WASI_EMULATED_PROCESS_CLOCKS"];

function buildCoreMark(): string {
  const folder = join(
    debianSource("emscripten", ["*/tests/third_party/coremark/*"]),
    "tests",
    "third_party",
    "coremark",
  );
  return compile("coremark", {
    options: [
      ..."-O2 -w -Wno-implicit-function-declaration -DPERFORMANCE_RUN=1 -DSEED_METHOD=SEED_FUNC -Dmain=coremark_main".split(
        " ",
      ),
      '-DFLAGS_STR="-O2"',
      `-I${folder}`,
    ],
    sources: [
      ...["core_list_join.c", "core_main.c", "core_matrix.c", "core_state.c", "core_util.c"].map((name) =>
        join(folder, name),
      ),
      support("coremark-port.c"),
    ],
  });
}

/** Lua's errors are longjmp, so they are exceptions of the guest. */
export function buildLua(): string {
  const folder = join(debianSource("lua5.4", []), "src");
  const names = readdirSync(folder).filter((name) => name.endsWith(".c") && name !== "luac.c");
  return compile("lua", {
    options: [..."-O2 -w -DL_tmpnam=16".split(" "), ...setjmpOptions, ...emulatedSignals, ...emulatedClocks],
    sources: [...names.map((name) => join(folder, name)), support("setjmp.c"), support("missing-calls.c")],
    libraries: ["-lwasi-emulated-signal", "-lwasi-emulated-process-clocks"],
    headers: [support("setjmp.h")],
  });
}

/** SQLite and a C program that uses it. */
export function buildSqliteWith(name: string, program: string, options: readonly string[] = []): string {
  const folder = join(npmPackage("better-sqlite3", "12.11.1", ["*/deps/sqlite3/*"]), "deps", "sqlite3");
  const defines = ["SQLITE_THREADSAFE=0", "SQLITE_OMIT_LOAD_EXTENSION", "SQLITE_TEMP_STORE=3", "SQLITE_OMIT_WAL"];
  return compile(name, {
    options: [
      ...options,
      ..."-O2 -w -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_MMAN".split(" "),
      ...emulatedSignals,
      ...emulatedClocks,
      ...defines.map((define) => `-D${define}`),
      `-I${folder}`,
    ],
    sources: [program, join(folder, "sqlite3.c")],
    libraries: ["signal", "process-clocks", "getpid", "mman"].map((name) => `-lwasi-emulated-${name}`),
  });
}

/** EMSCRIPTEN: how these sources spell "no threads, no malloc_usable_size". wasi-libc has one rounding mode. */
function buildQuickJs(): string {
  const folder = join(pypiSource("quickjs", "1.19.4"), "upstream-quickjs");
  return compile("quickjs", {
    options: [
      ..."-O2 -w -D_GNU_SOURCE -DEMSCRIPTEN -DCONFIG_BIGNUM -DFE_DOWNWARD=0 -DFE_UPWARD=0".split(" "),
      '-DCONFIG_VERSION="2021-03-27"',
      ...emulatedSignals,
      `-I${folder}`,
    ],
    sources: [
      source("quickjs-main.c"),
      ...["quickjs.c", "libregexp.c", "libunicode.c", "cutils.c", "libbf.c"].map((name) => join(folder, name)),
    ],
    libraries: ["-lwasi-emulated-signal"],
  });
}

export const thirdPartyPrograms: readonly Program[] = [
  {
    name: "coremark",
    about: "CoreMark: lists, matrices, a state machine, checksums",
    kind: "kernel",
    build: buildCoreMark,
    test: { args: ["4000"] },
    benchmark: { args: ["100000"] },
  },
  {
    name: "lua",
    about: "Lua 5.4: errors through pcall, coroutines, strings",
    kind: "interpreter",
    legacyExceptions: true,
    build: buildLua,
    test: { args: ["/data/workload.lua", "300"], files: { "workload.lua": script("workload.lua") }, exitCode: 9 },
    benchmark: { args: ["/data/workload.lua", "8000"], files: { "workload.lua": script("workload.lua") }, exitCode: 9 },
  },
  {
    name: "lua-kernels",
    about: "Lua 5.4: calls, tables, floats, strings, closures",
    kind: "interpreter",
    legacyExceptions: true,
    build: buildLua,
    test: { args: ["/data/kernels.lua", "12"], files: { "kernels.lua": script("kernels.lua") } },
    benchmark: { args: ["/data/kernels.lua", "250"], files: { "kernels.lua": script("kernels.lua") } },
  },
  {
    name: "sqlite",
    about: "SQLite with a database file: transactions, joins, VACUUM",
    kind: "interpreter",
    build: () => buildSqliteWith("sqlite", source("sqlite-workload.c")),
    test: { args: ["1000", "3"], files: {} },
    benchmark: { args: ["15000", "10"], files: {} },
  },
  {
    name: "quickjs",
    about: "QuickJS: exceptions, generators, promises, regular expressions",
    kind: "interpreter",
    build: buildQuickJs,
    test: { args: ["/data/workload.js", "200"], files: { "workload.js": script("workload.js") } },
    benchmark: { args: ["/data/workload.js", "16000"], files: { "workload.js": script("workload.js") } },
  },
];
