import type { Command } from "commander";
import { Process } from "../index.js";
import type { Messages } from "./messages.js";

export function defineFail(command: Command, messages: Messages): void {
  command
    .description("a power failure for the program that runs in an image: it saves and ends")
    .argument("<image>", "its image directory")
    .option("--quiet", "print nothing but errors")
    .option("--json", "print messages as JSON")
    .action(async (image: string) => {
      const pid = await Process.powerFailHolder(image);
      messages.news("failed", `power failure sent to process ${pid}`, { pid });
    });
}
