import type { Command } from "commander";
import { Images, type Pushed, VermilionError } from "../index.js";
import { imageAndEpoch } from "./epoch-argument.js";
import { byteText } from "./listing.js";
import type { Messages } from "./messages.js";
import { STORE_FORM, withStore } from "./store-argument.js";

interface PushOptions {
  readonly follow?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export function definePush(command: Command, messages: Messages): void {
  command
    .description("copy an epoch of an image to a store: what the store has not yet; also while the image is run")
    .argument("<image[@epoch]>", "the image directory, and which of its epochs (default: the current one)")
    .argument("<store>", STORE_FORM)
    .option("--follow", "and each newer epoch, until the process that runs the image has ended")
    .option("--quiet", "print nothing but errors")
    .option("--json", "print messages as JSON")
    .action(async (from: string, to: string, options: PushOptions) => {
      const { image, epoch: at } = imageAndEpoch(from);
      const tell = (pushed: Pushed): void => {
        const { epoch, blocks, byteLength } = pushed;
        const text = `epoch ${epoch} is in ${to}: ${blocks} new blocks, ${byteText(byteLength)}`;
        messages.news("pushed", text, { ...pushed });
      };
      if (options.follow !== true) return tell(await withStore(to, (store) => Images.push(image, store, { at })));
      if (at !== undefined) throw new VermilionError("USAGE", `${from}: --follow takes whatever epoch is the newest`);
      const failing = (error: VermilionError): void => void messages.failure(error);
      await withStore(to, (store) => Images.follow(image, store, { pushed: tell, failing }));
    });
}
