import type { Command } from "commander";
import { Images, type Verification } from "../index.js";
import { print } from "./listing.js";
import { EXIT } from "./status.js";

interface VerifyOptions {
  readonly repair?: boolean;
  readonly json?: boolean;
}

export function defineVerify(command: Command, finish: (status: number) => void): void {
  command
    .description("read all of an image and say what is wrong with it")
    .argument("<image>", "the image directory")
    .option("--repair", "go back to the newest good epoch if the current one is damaged, and remove those that are")
    .option("--json", "print JSON")
    .action(async (image: string, { repair, json }: VerifyOptions) => {
      const found = await Images.verify(image, { repair: repair === true });
      print(json === true ? JSON.stringify(found, undefined, 2) : describe(found).join("\n"));
      const isWhole = found.problems.length === 0 && found.epochs.every(({ problems }) => problems.length === 0);
      finish(isWhole || found.repairs.length > 0 ? EXIT.success : EXIT.inputOutput);
    });
}

function describe({ epochs, problems, repairs }: Verification): string[] {
  const lines = [
    ...epochs.map(({ epoch, problems }) =>
      [`epoch ${epoch}: ${problems.length === 0 ? "good" : "damaged"}`, ...problems.map(indented)].join("\n"),
    ),
    ...problems,
    ...repairs.map((repair) => `repaired: ${repair}`),
  ];
  return lines.length === 0 ? ["good; it keeps no epoch"] : lines;
}

function indented(line: string): string {
  return `  ${line}`;
}
