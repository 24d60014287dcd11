/**
 * What does a cache cost that survives? memcached's protocol, spoken by a guest of plain C under Vermilion, by memcached, with and
 * without its restart feature, and, in its own protocol, by an append-only Redis.
 *
 *     node dist/benchmarks/memcached.js [--quick] [--runs N] [--minutes M] [--operations N] [--connections N] [--depths 1,16]
 *         [--images DIR] [--servers NAME,NAME] [--output FILE]
 *
 * One load generator for all (memcached/generator.ts), a process of its own: 8 connections, 16-byte keys, 64-byte values, 95 or 75
 * % gets, one request or 16 under way on each connection. Servers take turns within each round, each a fresh process with all keys set
 * first. The generator's share of a processor is a result: where it is near 1, the rate is the generator's own, and the server's
 * processor time for a request is what compares. --minutes: no new round after that time.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { freePort } from "../tests/support/free-port.js";
import { prepareAll } from "./available.js";
import type { LoadResult, Measurement } from "./memcached/measurement.js";
import { type Place, type Server, servers } from "./memcached/servers.js";
import { processorMicroseconds } from "./processor-time.js";
import { describeSurroundings, fileSystemOf, formatTable, headline, median, root, writeResults } from "./report.js";

const TMPFS = "/dev/shm";
const START_MILLISECONDS = 20_000;

interface Experiment {
  readonly name: string;
  readonly gets: number;
  readonly depth: number;
  readonly measurements: Map<string, Measurement[]>;
}

async function untilItListens(port: number, failed: () => string | undefined): Promise<void> {
  const deadline = performance.now() + START_MILLISECONDS;
  for (;;) {
    const socket = createConnection(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return;
    } catch {
      const reason = failed() ?? (performance.now() > deadline ? "it does not listen" : undefined);
      if (reason !== undefined) throw new Error(reason);
      await sleep(20);
    } finally {
      socket.destroy();
    }
  }
}

interface Settings {
  readonly operations: number;
  readonly connections: string;
  readonly images: string;
}

function generate(server: Server, port: number, experiment: Experiment, settings: Settings, fill: boolean): LoadResult {
  const generator = join(root, "dist", "benchmarks", "memcached", "generator.js");
  const operations = Math.ceil(settings.operations / (server.fewer ?? 1));
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...[generator, "--port", String(port), "--protocol", server.protocol, "--operations", String(operations)],
      ...[
        "--connections",
        settings.connections,
        "--depth",
        String(experiment.depth),
        "--gets",
        String(experiment.gets),
      ],
      ...(fill ? ["--fill"] : []),
    ],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`${server.name}: ${experiment.name}: ${stderr}`);
  return JSON.parse(stdout) as LoadResult;
}

/** All experiments with one process of the server. */
async function measure(
  server: Server,
  start: (place: Place) => readonly string[],
  experiments: readonly Experiment[],
  settings: Settings,
): Promise<void> {
  const memory = mkdtempSync(join(TMPFS, "vermilion-memcached-"));
  const disk = mkdtempSync(join(settings.images, "vermilion-memcached-"));
  const port = await freePort();
  const [command = "", ...args] = start({ port, memory, disk });
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"], detached: true });
  const group = child.pid;
  const ended = once(child, "close");
  try {
    if (group === undefined) throw new Error(`${server.name}: ${command} cannot be started`);
    await untilItListens(port, () =>
      child.exitCode === null ? undefined : `${server.name}: status ${child.exitCode}`,
    );
    generate(server, port, { ...experiments[0], name: "filling", gets: 95, depth: 16 } as Experiment, settings, true);
    for (const experiment of experiments) {
      const before = processorMicroseconds(group);
      const result = generate(server, port, experiment, settings, false);
      // The warming-up requests are the server's work too.
      const requests = result.operations + Math.ceil(result.operations / 10);
      const serverMicroseconds = (processorMicroseconds(group) - before) / requests;
      const measurements = experiment.measurements.get(server.name) ?? [];
      measurements.push({ ...result, serverMicroseconds: Number(serverMicroseconds.toFixed(2)) });
      experiment.measurements.set(server.name, measurements);
    }
  } finally {
    if (group !== undefined && child.exitCode === null) process.kill(-group, "SIGKILL");
    await ended;
    for (const directory of [memory, disk]) rmSync(directory, { recursive: true, force: true });
  }
}

function table({ name, measurements }: Experiment): string {
  const rows = [...measurements].map(([server, all]) => {
    const middle = (key: keyof Measurement) => median(all.map((each) => each[key]));
    return [
      ...[server, middle("perSecond").toFixed(0), middle("p50Microseconds").toFixed(0)],
      ...[middle("p99Microseconds").toFixed(0), middle("serverMicroseconds").toFixed(1)],
      middle("generatorBusy").toFixed(2),
    ];
  });
  return formatTable([[name, "a second", "p50 us", "p99 us", "server us", "generator busy"], ...rows]);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      runs: { type: "string" },
      minutes: { type: "string", default: "Infinity" },
      operations: { type: "string" },
      connections: { type: "string", default: "8" },
      depths: { type: "string", default: "1,16" },
      images: { type: "string", default: tmpdir() },
      servers: { type: "string" },
      output: { type: "string" },
    },
  });
  const { quick, images, connections } = values;
  const runs = Number(values.runs ?? (quick ? 1 : 10));
  const operations = Number(values.operations ?? (quick ? 10_000 : 100_000));
  const surroundings = describeSurroundings();
  console.log(`${headline(surroundings)}, ${operations} requests, ${runs} runs${quick ? ", quick" : ""}`);
  const names = values.servers?.split(",");
  const chosen = servers.filter(({ name }) => names?.includes(name) ?? true);
  const skipped: Record<string, string> = {};
  const ready = prepareAll(chosen, skipped);
  const experiments = values.depths.split(",").flatMap((depth) =>
    [95, 75].map((gets): Experiment => {
      const name = `${gets} % gets, ${depth} at a time`;
      return { name, gets, depth: Number(depth), measurements: new Map() };
    }),
  );
  const deadline = performance.now() + Number(values.minutes) * 60_000;
  for (let round = 0; round < runs && performance.now() < deadline; round++) {
    for (const server of chosen) {
      const start = ready.get(server.name);
      if (start !== undefined) await measure(server, start, experiments, { operations, connections, images });
    }
    console.log(`round ${round + 1} of ${runs}`);
  }
  for (const experiment of experiments) console.log(`\n${table(experiment)}`);
  if (quick && values.output === undefined) return; // nothing to keep
  const about = Object.fromEntries(servers.map((server) => [server.name, server.about]));
  const results = experiments.map(({ measurements, ...rest }) => ({
    ...rest,
    measurements: Object.fromEntries(measurements),
  }));
  const data = { quick, runs, operations, connections: Number(connections), fileSystem: fileSystemOf(images) };
  const written = writeResults(
    "memcached",
    surroundings,
    { ...data, about, experiments: results, skipped },
    values.output,
  );
  console.log(`written to ${written}`);
}

await main();
