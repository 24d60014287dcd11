/** The page's part on servers of memcached's protocol. */
import type { Measurement } from "../memcached/measurement.js";
import { headline, median } from "../report.js";
import { missing, table } from "./markdown.js";
import type { Memcached } from "./results.js";

/** What all are compared with. */
const REFERENCE = "memcached";

export function memcachedPart(memcached: Memcached | undefined): string {
  if (memcached === undefined) return "";
  const { experiments, about, connections, operations, runs, fileSystem } = memcached;
  const names = Object.keys(about).filter((name) => experiments.some(({ measurements }) => measurements[name]));
  const parts = experiments.map(({ name, measurements }) => {
    const of = (server: string, key: keyof Measurement) =>
      median((measurements[server] ?? []).map((measurement) => measurement[key]));
    const rows = names.map((server) => [
      ...[server, of(server, "perSecond").toFixed(0)],
      (of(server, "perSecond") / of(REFERENCE, "perSecond")).toFixed(2),
      ...[of(server, "p50Microseconds").toFixed(0), of(server, "p99Microseconds").toFixed(0)],
      ...[of(server, "serverMicroseconds").toFixed(1), of(server, "generatorBusy").toFixed(2)],
    ]);
    const head = [name, "requests a second", `to ${REFERENCE}`, "p50, µs", "p99, µs", "server's CPU, µs", "generator"];
    return table([head, ...rows]);
  });
  const described = Object.entries(about).map(([name, text]) => `- **${name}**: ${text}`);
  return [
    `### memcached\n\n${headline(memcached)}, ${fileSystem}, ${operations} requests a run on ${connections} connections, medians of ${runs} rounds.`,
    ...parts,
    `${described.join("\n")}\n${missing(memcached.skipped)}`,
  ].join("\n\n");
}
