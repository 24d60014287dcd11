/** What became slower between two files of results. */
import { formatTable, median } from "../report.js";
import { type Overhead, type Ratio, type Results, ratioOf } from "./results.js";

/** Below this a change is noise on any machine. */
const SMALLEST_CHANGE = 0.03;

export interface Change {
  readonly what: string;
  readonly before: Ratio;
  readonly after: Ratio;
  /** Relative: 0.1 is 10 % slower. */
  readonly change: number;
  /** Larger than noise: the quartiles do not meet either. */
  readonly verdict: "slower" | "faster" | "same";
}

const OVERHEADS = ["overhead", "short", "optimized", "engines"] as const;

function changeOf(what: string, before: Ratio, after: Ratio): Change {
  const change = after.middle / before.middle - 1;
  const slower = change > SMALLEST_CHANGE && after.low > before.high;
  const faster = change < -SMALLEST_CHANGE && after.high < before.low;
  return { what, before, after, change, verdict: slower ? "slower" : faster ? "faster" : "same" };
}

function overheadChanges(section: string, before: Overhead, after: Overhead): Change[] {
  return before.programs.flatMap((program) => {
    const same = after.programs.find(({ name }) => name === program.name);
    const [first, second] = [ratioOf(program, "vermilion"), same && ratioOf(same, "vermilion")];
    return first && second ? [changeOf(`${section}: ${program.name}`, first, second)] : [];
  });
}

/** To what needs no Vermilion in the same run, so that another machine, or a slow hour, is no change. */
function ratioTo(ours: readonly number[] | undefined, others: readonly number[] | undefined): Ratio | undefined {
  if (ours === undefined || others === undefined) return undefined;
  const pairs = ours.map((value, i) => value / (others[i] ?? Number.NaN)).toSorted((a, b) => a - b);
  const at = (share: number) => pairs[Math.max(0, Math.ceil(pairs.length * share) - 1)] ?? Number.NaN;
  return { middle: median(ours) / median(others), low: at(0.25), high: at(0.75), runs: ours.length };
}

function rivalChanges(before: Results["rivals"], after: Results["rivals"]): Change[] {
  const ratio = (nanoseconds: Readonly<Record<string, readonly number[]>>) =>
    ratioTo(nanoseconds["vermilion"], nanoseconds["native, nothing kept"]);
  return (before?.experiments ?? []).flatMap(({ name, nanoseconds }) => {
    const same = after?.experiments.find((each) => each.name === name);
    const [first, second] = [ratio(nanoseconds), same && ratio(same.nanoseconds)];
    return first && second ? [changeOf(`rivals: ${name}`, first, second)] : [];
  });
}

/** Of the servers' processor time for a request. */
function memcachedChanges(before: Results["memcached"], after: Results["memcached"]): Change[] {
  return (before?.experiments ?? []).flatMap(({ name, measurements }) => {
    const same = after?.experiments.find((each) => each.name === name);
    return ["vermilion", "vermilion, points and log"].flatMap((server) => {
      const ratio = (all: typeof measurements | undefined) => {
        const times = (one: string) => all?.[one]?.map(({ serverMicroseconds }) => serverMicroseconds);
        return ratioTo(times(server), times("memcached"));
      };
      const [first, second] = [ratio(measurements), ratio(same?.measurements)];
      return first && second ? [changeOf(`${server}: ${name}`, first, second)] : [];
    });
  });
}

function saveChanges(before: Results["saveAndResume"], after: Results["saveAndResume"]): Change[] {
  return (before?.results ?? []).flatMap((each) => {
    const { fileSystem, heapMebibytes, depth, touched } = each;
    const same = after?.results.find(
      (other) =>
        other.fileSystem === fileSystem &&
        other.heapMebibytes === heapMebibytes &&
        other.depth === depth &&
        other.touched === touched,
    );
    if (same === undefined) return [];
    const label = `${heapMebibytes} MiB ${touched ? "touched" : "clean"}, ${depth} deep, ${fileSystem}`;
    const pairs = [
      ["save", each.save["total"], same.save["total"]],
      ["resume", each.resume, same.resume],
    ] as const;
    return pairs.flatMap(([what, first, second]) => {
      if (first === undefined || second === undefined) return [];
      const ratio = ({ least, p50, p99 }: typeof first): Ratio => ({
        middle: p50,
        low: (least + p50) / 2,
        high: (p50 + p99) / 2,
        runs: each.events,
      });
      return [changeOf(`${what}: ${label}`, ratio(first), ratio(second))];
    });
  });
}

/** Everything that both files have. */
export function compare(before: Results, after: Results): Change[] {
  return [
    ...OVERHEADS.flatMap((section) => {
      const [first, second] = [before[section], after[section]];
      return first && second ? overheadChanges(section, first, second) : [];
    }),
    ...rivalChanges(before.rivals, after.rivals),
    ...memcachedChanges(before.memcached, after.memcached),
    ...saveChanges(before.saveAndResume, after.saveAndResume),
  ];
}

/** Changes that are not noise, the worst first. */
export function describeChanges(changes: readonly Change[]): string {
  const notable = changes.filter(({ verdict }) => verdict !== "same").toSorted((a, b) => b.change - a.change);
  const count = (verdict: Change["verdict"]) => changes.filter((each) => each.verdict === verdict).length;
  const total = `${changes.length} compared: ${count("slower")} slower, ${count("faster")} faster, ${count("same")} the same`;
  if (notable.length === 0) return total;
  const percent = (change: number) => `${change > 0 ? "+" : ""}${(100 * change).toFixed(1)} %`;
  const rows = notable.map(({ what, before, after, change, verdict }) => [
    ...[what, before.middle.toFixed(3), after.middle.toFixed(3), percent(change), verdict],
  ]);
  return `${formatTable([["", "before", "after", "change", ""], ...rows])}\n${total}`;
}
