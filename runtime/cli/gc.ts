import type { Command } from "commander";
import { Images } from "../index.js";
import { addKeepOptions, type KeepOptions, keepPolicy } from "./keep-options.js";
import { byteText, print } from "./listing.js";

export function defineCollect(command: Command): void {
  addKeepOptions(
    command
      .description("drop epochs that are not to be kept, and give the disk back what no epoch needs")
      .argument("<image>", "the image directory"),
  )
    .option("--json", "print JSON")
    .action(async (image: string, options: KeepOptions & { readonly json?: boolean }) => {
      const collected = await Images.collect(image, keepPolicy(options));
      const { epochs, before, after } = collected;
      if (options.json === true) print(JSON.stringify(collected));
      else print(`${epochs.length} epochs dropped; ${byteText(before)} on the disk before, ${byteText(after)} now`);
    });
}
