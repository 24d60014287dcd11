/** The servers that keep 16-byte keys and 64-byte values for clients: rivals and ourselves. */
import { userInfo } from "node:os";
import { join } from "node:path";
import { cached } from "../../tests/corpus/build-cache.js";
import { commandLine } from "../../tests/corpus/paths.js";
import { runCommand } from "../../tests/corpus/run-command.js";
import { nativeCompiler } from "../../tests/corpus/toolchains.js";
import { root } from "../report.js";
import type { ProtocolName } from "./protocols.js";

const example = join(root, "guest-examples", "memcached");
const guest = join(example, "memcached.wasm");
const sources = ["memcached", "cache", "connection", "protocol", "statistics", "words"].map((name) =>
  join(example, `${name}.c`),
);
const headers = ["cache", "connection", "protocol", "statistics", "words"].map((name) => join(example, `${name}.h`));
const listener = join(root, "benchmarks", "memcached", "listen-at-3.c");
const MEBIBYTES = "256";

/** What one run of a server is given. */
export interface Place {
  readonly port: number;
  /** Directories of its own, on tmpfs and on disk. */
  readonly memory: string;
  readonly disk: string;
}

export interface Server {
  readonly name: string;
  /** What it keeps, and against what. */
  readonly about: string;
  readonly protocol: ProtocolName;
  /** Slow ones get so many times fewer requests. */
  readonly fewer?: number;
  /** Throws `Unavailable`, with the reason, where it cannot be had. The result: how to start it. */
  prepare(): (place: Place) => readonly string[];
}

/** Throws `Unavailable`. */
function installed(command: string, option: string): void {
  runCommand([command, option]);
}

function memcached(name: string, about: string, options: (place: Place) => readonly string[]): Server {
  const user = userInfo().uid === 0 ? ["-u", "root"] : [];
  return {
    ...{ name, about, protocol: "memcached" },
    prepare: () => {
      installed("memcached", "-V");
      return (place) => [
        ...["memcached", "-l", "127.0.0.1", "-p", String(place.port), "-U", "0", "-t", "1", "-m", MEBIBYTES, ...user],
        ...options(place),
      ];
    },
  };
}

function redis(name: string, about: string, flush: string, fewer: number): Server {
  return {
    ...{ name, about, fewer, protocol: "redis" },
    prepare: () => {
      installed("redis-server", "--version");
      return ({ port, disk }) => [
        ...["redis-server", "--bind", "127.0.0.1", "--port", String(port), "--dir", disk, "--save", ""],
        ...["--appendonly", "yes", "--appendfsync", flush, "--maxmemory", `${MEBIBYTES}mb`],
      ];
    },
  };
}

function vermilion(name: string, about: string, options: readonly string[]): Server {
  return {
    ...{ name, about, protocol: "memcached" },
    prepare:
      () =>
      ({ port, disk }) => [
        ...[process.execPath, commandLine, "run", "--quiet", "--image", join(disk, "image"), ...options],
        ...["-S", `tcplisten=127.0.0.1:${port}`, guest, "-m", MEBIBYTES],
      ],
  };
}

/** The same C, natively. */
function nativeGuest(): (place: Place) => readonly string[] {
  const { command, version } = nativeCompiler();
  const words = [...command, version];
  const build = (name: string, from: readonly string[], files: readonly string[]) =>
    cached("memcached", name, { words, files }, (output) => {
      runCommand([...command, "-O2", "-w", ...from, "-o", output]);
    });
  const program = build("memcached-guest", sources, [...sources, ...headers]);
  const listen = build("listen-at-3", [listener], [listener]);
  return ({ port }) => [listen, String(port), program, "-m", MEBIBYTES];
}

export const servers: readonly Server[] = [
  memcached("memcached", "memcached with one worker thread; nothing is kept", () => []),
  memcached(
    "memcached -e",
    "memcached with its restart feature, its file on tmpfs taken for persistent memory: what is kept is kept by a clean stop (SIGUSR1) only",
    ({ memory }) => ["-e", join(memory, "items")],
  ),
  redis("redis, each second", "Redis, an append-only file on disk, flushed once a second", "everysec", 1),
  redis("redis, always", "the same, flushed before each answer to a set", "always", 10),
  {
    name: "guest, native",
    about: "the guest's C, compiled natively; nothing is kept: what is left to Wasm and to the host calls",
    protocol: "memcached",
    prepare: nativeGuest,
  },
  vermilion("vermilion", "the guest under `vermilion run`: everything is kept when the power fails with hold-up", []),
  vermilion(
    "vermilion, points and log",
    "the same with --persist-every 100ms and its log, on disk: everything is kept when the process is killed, too",
    ["--persist-every", "100ms"],
  ),
];
