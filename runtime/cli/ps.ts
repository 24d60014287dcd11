import { basename } from "node:path";
import type { Command } from "commander";
import { type ImageSummary, Process, VermilionError } from "../index.js";
import { commandText, print, statusText } from "./listing.js";
import { plainLine } from "./plain-text.js";

export function defineProcesses(command: Command): void {
  command
    .description("list the images of a directory, and which of them run")
    .argument("[directory]", "where to look", ".vermilion")
    .option("--json", "print JSON")
    .action(async (directory: string, options: { json?: boolean }) => {
      const images = await listOrNothing(directory);
      if (options.json === true) print(JSON.stringify(images, undefined, 2));
      else if (images.length > 0) print(table(images));
    });
}

/** The directory comes with the first image: without it there are none. */
async function listOrNothing(directory: string): Promise<ImageSummary[]> {
  try {
    return await Process.list(directory);
  } catch (error) {
    if (error instanceof VermilionError && error.code === "NOT_FOUND" && directory === ".vermilion") return [];
    throw error;
  }
}

function table(images: readonly ImageSummary[]): string {
  const rows = images.map((summary) => [
    plainLine(basename(summary.image)),
    String(summary.epoch),
    summary.writtenAt?.slice(0, 19).replace("T", " ") ?? "",
    statusText(summary),
    commandText(summary),
  ]);
  const all = [["IMAGE", "EPOCH", "WRITTEN (UTC)", "STATUS", "COMMAND"], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
