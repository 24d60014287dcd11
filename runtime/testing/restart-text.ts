import type { FrameInspection } from "../process/frame-inspection.js";
import { stackLines } from "./exploration-text.js";
import type { RestartExploration } from "./restarts-here.js";

type Finding = NonNullable<RestartExploration["finding"]>;
type Lost = Finding["failures"][number]["lost"][number];

/** Callers of a store that are shown. */
const SHOWN_CALLERS = 3;

/** A finding, for people. */
export function describeRestartFinding(finding: Finding): string[] {
  const { at, failures, promised, result } = finding;
  const lines = [`DOES NOT SURVIVE  ${at}`];
  failures.forEach(({ kind, where, lost, lostFiles }, index) => {
    const which = failures.length === 1 ? "the power failed" : `power failure ${index + 1}`;
    const when = kind === "end" ? "after the run" : `${kind === "store" ? "behind" : "before"} a ${kind}, in`;
    lines.push(`  ${which} ${when}`, ...stackLines(where));
    if (lost.length + lostFiles.length === 0) lines.push("    nothing that was stored is lost");
    for (const text of lostFiles) lines.push(`    lost: ${text}`);
    lines.push(...lostLines(lost));
  });
  lines.push(`  promised before: ${promised}`, `  the next guest ${result}`);
  return lines;
}

/** Stores from one place, such as those of a copy, on one line. */
function lostLines(lost: readonly Lost[]): string[] {
  const byPlace = new Map<string, Lost[]>();
  for (const store of lost) {
    const place = placeText(store);
    byPlace.set(place, [...(byPlace.get(place) ?? []), store]);
  }
  return [...byPlace].map(([place, stores]) => {
    const byteLength = stores.reduce((sum, store) => sum + store.byteLength, 0);
    const count = stores.length === 1 ? "" : ` in ${stores.length} stores`;
    return `    lost: ${byteLength} bytes${count} at ${stores[0]?.address}, stored ${place}`;
  });
}

function placeText({ byHost, where }: Lost): string {
  const frames = where.slice(0, SHOWN_CALLERS).map(frameName).join(" < ");
  return byHost ? `by the host for ${frames || "the guest"}` : `by ${frames}`;
}

function frameName({ name, functionIndex, source, offset }: FrameInspection): string {
  const place = source ?? (offset === null ? "" : `at 0x${offset.toString(16)}`);
  return `${name ?? `function ${functionIndex}`} ${place}`.trimEnd();
}
