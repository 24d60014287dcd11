import type { Command } from "commander";
import { Images } from "../index.js";
import { addKeepOptions, type KeepOptions, keepPolicy } from "./keep-options.js";
import { print } from "./listing.js";
import { STORE_FORM, withOldStore } from "./store-argument.js";

interface PruneCommandOptions extends KeepOptions {
  readonly damaged: boolean;
  readonly json?: boolean;
}

export function definePrune(command: Command): void {
  addKeepOptions(
    command
      .description(
        "remove from a store what none of its epochs needs, and epochs that are not to be kept; not during a push",
      )
      .argument("<store>", STORE_FORM),
    "all",
  )
    .option("--damaged", "epochs that cannot be read go as well", false)
    .option("--json", "print JSON")
    .action(async (named: string, options: PruneCommandOptions) => {
      const { damaged } = options;
      const pruned = await withOldStore(named, (store) => Images.prune(store, keepPolicy(options), { damaged }));
      if (options.json === true) print(JSON.stringify(pruned));
      else print(`${pruned.epochs.length} epochs and ${pruned.blocks} blocks removed`);
    });
}
