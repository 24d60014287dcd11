/** The ways to keep 16-byte keys and 64-byte values, each made ready to run: rivals and ourselves. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { cached } from "../../tests/corpus/build-cache.js";
import { npmPackage } from "../../tests/corpus/packages.js";
import { commandLine } from "../../tests/corpus/paths.js";
import { buildSqliteWith } from "../../tests/corpus/programs/third-party.js";
import { runCommand, Unavailable } from "../../tests/corpus/run-command.js";
import { clang, nativeCompiler } from "../../tests/corpus/toolchains.js";
import { root } from "../report.js";

const folder = join(root, "benchmarks", "rivals");
const libraries = ["failure-atomic.h", "pool.h", "undo-log.h"].map((name) =>
  join(root, "guest-examples", "pmem-libs", name),
);
const structures = join(folder, "structures.c");
const inserts = join(folder, "sqlite-inserts.c");

/** Directories of one run: `memory` is on tmpfs, `disk` is not. */
export interface Places {
  readonly memory: string;
  readonly disk: string;
}

export interface Command {
  readonly words: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Way {
  readonly name: string;
  /** What it keeps, and against what. */
  readonly about: string;
  /** Slow ways do so many times fewer operations. */
  readonly fewer?: number;
  /** Makes it; throws `Unavailable` with the reason where it cannot be had. Then how to start it, before its arguments. */
  prepare(): (places: Places) => Command;
}

function native(define: string, sources: readonly string[], options: readonly string[]): string {
  const { command, version } = nativeCompiler();
  const words = [...command, version, define, ...options];
  const files = [...sources, ...libraries, join(folder, "persistence.h")];
  return cached("rivals", "native", { words, files }, (output) => {
    runCommand([...command, "-O2", "-w", `-D${define}`, ...sources, ...options, "-o", output]);
  });
}

function guest(define: string): string {
  const { command, version } = clang();
  const words = [...command, version, define];
  const files = [structures, ...libraries, join(folder, "persistence.h")];
  return cached("rivals", "structures.wasm", { words, files }, (output) => {
    runCommand([...command, "-O2", "-w", `-D${define}`, structures, "-o", output]);
  });
}

/** `vermilion run`, as a user starts it, with the image in one of the places. */
function underVermilion(module: string, where: keyof Places, options: readonly string[] = []) {
  return (places: Places): Command => ({
    words: [
      ...[process.execPath, commandLine, "run", "--quiet", "--image", join(places[where], "image"), ...options],
      module,
    ],
  });
}

function libpmemobj(name: string, about: string, fewer: number, env: Readonly<Record<string, string>>): Way {
  return {
    ...{ name, about, fewer },
    prepare: () => {
      let program: string;
      try {
        program = native("PMEMOBJ", [structures], ["-lpmemobj"]);
      } catch (error) {
        throw new Unavailable(`libpmemobj is not installed (Debian: libpmemobj-dev): ${String(error)}`);
      }
      return ({ memory }) => ({ words: [program], env: { ...env, POOL: join(memory, "pool") } });
    },
  };
}

function guestWay(name: string, about: string, define: string, where: keyof Places): Way {
  return { name, about, prepare: () => underVermilion(guest(define), where) };
}

/** Lists, maps and trees in memory. */
export const structureWays: readonly Way[] = [
  {
    name: "native, nothing kept",
    about: "the same C, compiled natively: what no persistence could reach",
    prepare: () => {
      const program = native("PLAIN", [structures], []);
      return () => ({ words: [program] });
    },
  },
  {
    name: "wasm, nothing kept",
    about: "the module on the engine, without Vermilion",
    prepare: () => {
      const module = guest("PLAIN");
      const timeGuest = join(root, "tests", "support", "time-guest.mjs");
      return ({ memory }) => ({
        words: [
          ...[process.execPath, timeGuest, "--variant", "plain", "--module", module],
          ...["--name", "structures", "--scratch", memory],
        ],
      });
    },
  },
  guestWay(
    "vermilion",
    "plain C under `vermilion run`: the whole process is kept when the power fails",
    "PLAIN",
    "disk",
  ),
  libpmemobj("libpmemobj", "native transactions with its flushes, pool on tmpfs taken for persistent memory", 5, {
    PMEM_IS_PMEM_FORCE: "1",
  }),
  libpmemobj("libpmemobj, no flushes", "the same on a machine whose caches are persistent: logging alone", 5, {
    PMEM_IS_PMEM_FORCE: "1",
    PMEM_NO_FLUSH: "1",
  }),
  libpmemobj("libpmemobj, msync", "the same with the pool taken for a file: each flush is a system call", 50, {
    PMEM_IS_PMEM_FORCE: "0",
  }),
  guestWay("undo log", "our guest library of undo-log transactions, under Vermilion", "UNDO_LOG", "disk"),
  guestWay("failure-atomic", "our guest library of failure-atomic sections, under Vermilion", "FAILURE_ATOMIC", "disk"),
];

function nativeSqlite(name: string, about: string, mode: string): Way {
  return {
    ...{ name, about },
    prepare: () => {
      const sources = join(npmPackage("better-sqlite3", "12.11.1", ["*/deps/sqlite3/*"]), "deps", "sqlite3");
      const options = ["-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", `-I${sources}`, "-lm"];
      const program = native("NATIVE", [inserts, join(sources, "sqlite3.c")], options);
      return ({ disk }) => ({ words: [program, mode === "memory" ? ":memory:" : join(disk, "pairs.db"), mode] });
    },
  };
}

function guestSqlite(name: string, about: string, mode: string): Way {
  return {
    ...{ name, about },
    prepare: () => {
      const module = buildSqliteWith("sqlite-inserts", inserts);
      return (places) => {
        const data = join(places.disk, "data");
        mkdirSync(data, { recursive: true });
        const { words } = underVermilion(module, "disk", ["--dir", `${data}::/data`])(places);
        return { words: [...words, mode === "memory" ? ":memory:" : "/data/pairs.db", mode] };
      };
    },
  };
}

/** The same inserts into a database, with synchronous=FULL. */
export const diskDatabaseWays: readonly Way[] = [
  nativeSqlite("native, journal", "a file on disk, rollback journal", "delete"),
  nativeSqlite("native, WAL", "a file on disk, write-ahead log", "wal"),
  guestSqlite("guest, journal", "a file on disk, rollback journal, under Vermilion", "delete"),
];

/** The same inserts with nothing on disk, so that there can be enough of them. */
export const memoryDatabaseWays: readonly Way[] = [
  nativeSqlite("native, in memory", "nothing kept", "memory"),
  guestSqlite("guest, in memory", "under Vermilion, which keeps the memory when the power fails", "memory"),
];
