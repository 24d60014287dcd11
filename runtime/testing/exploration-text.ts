/** Results of an exploration, for people. */
import { type FrameInspection, frameText } from "../process/frame-inspection.js";
import type { Exploration, ExploreFinding } from "./explore.js";

const SHOWN_FRAMES = 12;
/** Fewer say nothing of how fast it is. */
const LEAST_FOR_RATE = 100;

/** `again`: how a finding is made again, from what `at` names it by. */
export function describeExploration(exploration: Exploration, again: (at: string) => string): string {
  const { reference, points, failures, converged, equivalent, complete, milliseconds, findings, jobs } = exploration;
  const rate = (1000 * points) / milliseconds;
  const rates = points < LEAST_FOR_RATE ? "" : ` (${rate.toFixed(0)}/s, ${(rate / jobs).toFixed(0)}/s a process)`;
  const counted = (done: boolean, count: number, noun: string) => `${done ? "all " : ""}${count} ${noun}`;
  const lines = [
    `${exploration.module}: ${counted(complete.safepoints, reference.safepoints, "safepoints")}, ` +
      `${counted(complete.calls, reference.calls, "host calls")}, seed ${exploration.seed}`,
    `${points} crash points in ${(milliseconds / 1000).toFixed(1)} s${rates}, ${failures} failures`,
    `${converged} runs came back to a known state, ${equivalent} points left what another had left, ` +
      `${points - converged - equivalent} ran to their end`,
  ];
  if (findings.length === 0) lines.push("every run ended as it should");
  for (const finding of findings) lines.push("", ...describeFinding(finding), `again:  ${again(finding.at)}`);
  return lines.join("\n");
}

export function describeFinding({ at, differences, where }: ExploreFinding): string[] {
  return [
    `DOES NOT SURVIVE  ${at}`,
    ...differences.map(({ aspect, message }) => `  ${aspect}: ${message}`),
    ...where.flatMap((frames, index) => [
      where.length === 1 ? "  the power failed in" : `  power failure ${index + 1} in`,
      ...stackLines(frames),
    ]),
  ];
}

/** A stack, innermost frame first. */
export function stackLines(frames: readonly FrameInspection[]): string[] {
  const lines = frames.slice(0, SHOWN_FRAMES).map((frame, index) => `    ${frameText(frame, index)}`);
  return frames.length > SHOWN_FRAMES ? [...lines, `    ... ${frames.length - SHOWN_FRAMES} more`] : lines;
}
