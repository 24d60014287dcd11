import type { Command } from "commander";
import { Images } from "../index.js";
import { imageAndEpoch } from "./epoch-argument.js";
import type { Messages } from "./messages.js";

export function defineDrop(command: Command, messages: Messages): void {
  command
    .description("take an epoch out of an image's history")
    .argument("<image@epoch>", "the image directory and the epoch")
    .option("--quiet", "print nothing but errors")
    .option("--json", "print messages as JSON")
    .action(async (which: string) => {
      const { image, epoch } = imageAndEpoch(which);
      if (epoch === undefined)
        command.error(`error: say which epoch, as ${image.replace(/@$/, "")}@3; vermilion history lists them`);
      else {
        await Images.drop(image, epoch);
        messages.news("dropped", `epoch ${epoch} of ${image} is dropped`, { image, epoch });
      }
    });
}
