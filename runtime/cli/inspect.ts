import type { Command } from "commander";
import {
  type DescriptorInspection,
  type FrameInspection,
  frameText,
  type Inspection,
  type PersistencePolicy,
  Process,
} from "../index.js";
import { epochNumber } from "./epoch-argument.js";
import { byteText, commandText, print, statusText } from "./listing.js";
import { plainLine } from "./plain-text.js";

export function defineInspect(command: Command): void {
  command
    .description("show what an image holds: frames, descriptors, memory, epoch")
    .argument("<image>", "the image directory")
    .option("--at <epoch>", "at an epoch of its history", epochNumber)
    .option("--json", "print JSON")
    .action(async (image: string, options: { json?: boolean; at?: number }) => {
      const inspection = await Process.inspect(image, { at: options.at });
      print(options.json === true ? JSON.stringify(inspection, undefined, 2) : describe(inspection));
    });
}

function describe(inspection: Inspection): string {
  const { image, module, memories, epoch, writtenAt, frames, descriptors, policy } = inspection;
  return [
    `image        ${plainLine(image)}`,
    `status       ${statusText(inspection)}`,
    `epoch        ${epoch}, ${writtenAt}`,
    `command      ${commandText(inspection)}`,
    ...(policy === null ? [] : [`policy       ${policyText(policy)}`]),
    `module       ${byteText(module.byteLength)}, SHA-256 ${module.sha256}`,
    ...memories.map(
      ({ byteLength, diskByteLength }, index) =>
        `memory ${index}     ${byteText(byteLength)}, ${byteText(diskByteLength)} on the disk`,
    ),
    ...(frames.length === 0
      ? []
      : [
          `frames       ${frames.length}, innermost first`,
          ...frameLines(frames, inspection.status === "trapped" ? trapFrameText : frameText),
        ]),
    ...(descriptors.length === 0 ? [] : ["descriptors", ...descriptors.map(descriptorLine)]),
  ].join("\n");
}

function policyText({ points, log }: PersistencePolicy): string {
  const { milliseconds, hostCalls, synchronous } = points;
  const every = [
    ...(milliseconds === undefined ? [] : [`${milliseconds} ms`]),
    ...(hostCalls === undefined ? [] : [`${hostCalls} host calls`]),
  ];
  const made = every.length === 0 ? "points on request" : `a point every ${every.join(" or ")}`;
  const logged = log === undefined ? "no log" : `a log that survives the ${log.durability}`;
  return `${made}${synchronous === true ? ", waited for" : ""}; ${logged}`;
}

export function trapFrameText({ name, functionIndex }: FrameInspection, index: number): string {
  return `#${index} ${name ?? `function ${functionIndex}`}`;
}

const SHOWN_FRAMES = 40;

export function frameLines(frames: readonly FrameInspection[], text: typeof frameText = frameText): string[] {
  const lines = frames.map((frame, index) => `  ${plainLine(text(frame, index))}`);
  if (lines.length <= SHOWN_FRAMES) return lines;
  const half = SHOWN_FRAMES / 2;
  const left = `  ... ${lines.length - SHOWN_FRAMES} more (--json shows all)`;
  return [...lines.slice(0, half), left, ...lines.slice(-half)];
}

export function descriptorLine({ number, kind, path, access, offset, flags }: DescriptorInspection): string {
  const details = [kind, access === "none" ? "" : access, offset === null ? "" : `offset ${offset}`, ...flags];
  return `  ${String(number).padStart(3)} ${plainLine(path)}  ${details.filter((detail) => detail !== "").join(", ")}`;
}
