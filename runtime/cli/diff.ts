import type { Command } from "commander";
import { type Comparison, type DescriptorInspection, type FrameInspection, Images } from "../index.js";
import { epochNumber } from "./epoch-argument.js";
import { byteText, print } from "./listing.js";
import { plainLine } from "./plain-text.js";

export function defineDiff(command: Command): void {
  command
    .description("show what changed between two epochs: memory, globals, frames, descriptors")
    .argument("<image>", "the image directory")
    .argument("<before>", "an epoch", epochNumber)
    .argument("<after>", "another", epochNumber)
    .option("--json", "print JSON")
    .action(async (image: string, before: number, after: number, options: { json?: boolean }) => {
      const comparison = await Images.compare(image, before, after);
      print(options.json === true ? JSON.stringify(comparison, undefined, 2) : describe(comparison).join("\n"));
    });
}

const SHOWN_RUNS = 20;

function describe({ memories, globals, frames, descriptors }: Comparison): string[] {
  return [
    ...memories.flatMap(({ byteLengthBefore, byteLengthAfter, changed }, index) => {
      const pages = changed.reduce((sum, { count }) => sum + count, 0);
      const grown =
        byteLengthBefore === byteLengthAfter ? "" : `, ${byteText(byteLengthBefore)} -> ${byteText(byteLengthAfter)}`;
      const shown = changed.slice(0, SHOWN_RUNS).map(({ page, count }) => `  ${hex(page)} to ${hex(page + count)}`);
      const left = changed.length - shown.length;
      return [
        `memory ${index}: ${pages} pages changed${grown}`,
        ...shown,
        ...(left > 0 ? [`  ... ${left} more (--json shows all)`] : []),
      ];
    }),
    ...globals.map(({ index, type, before, after }) => `global ${index} (${type}): ${before} -> ${after}`),
    ...frameLines(frames),
    ...descriptors.map(
      ({ number, before, after }) => `descriptor ${number}: ${descriptorText(before)} -> ${descriptorText(after)}`,
    ),
  ];
}

function hex(page: number): string {
  return `0x${(page * 4096).toString(16)}`;
}

function frameLines({ before, after, same }: Comparison["frames"]): string[] {
  const [gone, come] = [before, after].map((frames) => frames.slice(0, frames.length - same));
  if (gone?.length === 0 && come?.length === 0) return [];
  const line = (sign: string) => (frame: FrameInspection) => {
    const where = frame.offset === null ? "" : ` at 0x${frame.offset.toString(16)}`;
    return plainLine(`  ${sign} ${frame.name ?? `function ${frame.functionIndex}`}${where}`);
  };
  return [`frames: the outermost ${same} are the same`, ...(gone ?? []).map(line("-")), ...(come ?? []).map(line("+"))];
}

function descriptorText(descriptor: DescriptorInspection | null): string {
  if (descriptor === null) return "none";
  const { path, kind, offset } = descriptor;
  return [plainLine(path), kind, ...(offset === null ? [] : [`offset ${offset}`])].join(" ");
}
