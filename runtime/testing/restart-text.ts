import type { RestartExploration } from "./restarts-here.js";

/** A finding, for people. */
export function describeRestartFinding(finding: NonNullable<RestartExploration["finding"]>): string[] {
  const { at, failures, promised, result } = finding;
  const lines = [`DOES NOT SURVIVE  ${at}`];
  failures.forEach(({ kind, where, lost, lostFiles }, index) => {
    const which = failures.length === 1 ? "the power failed" : `power failure ${index + 1}`;
    const when = kind === "end" ? "after the run" : `${kind === "store" ? "behind" : "before"} a ${kind} in`;
    lines.push(`  ${which} ${when} ${where.join(" < ")}`.trimEnd());
    if (lost.length + lostFiles.length === 0) lines.push("    nothing that was stored is lost");
    for (const text of lostFiles) lines.push(`    lost: ${text}`);
    for (const { address, byteLength, where: by } of lost) {
      lines.push(`    lost: ${byteLength} bytes at ${address}, stored by ${by.join(" < ")}`);
    }
  });
  lines.push(`  promised before: ${promised}`, `  the next guest ${result}`);
  return lines;
}
