import type { Command } from "commander";
import { type EpochSummary, Images, VermilionError } from "../index.js";
import { epochNumber } from "./epoch-argument.js";
import { byteText, print } from "./listing.js";
import type { Messages } from "./messages.js";
import { isStore, STORE_FORM, tellDamaged, withOldStore } from "./store-argument.js";

interface HistoryOptions {
  readonly pin?: number;
  readonly unpin?: number;
  readonly json?: boolean;
}

export function defineHistory(command: Command, messages: Messages): void {
  command
    .description("list the persistence points that an image, or a store, keeps")
    .argument("<image>", `the image directory, or a store: ${STORE_FORM}`)
    .option("--pin <epoch>", "keep this one, whatever --keep says", epochNumber)
    .option("--unpin <epoch>", "keep it no longer than the others", epochNumber)
    .option("--json", "print JSON")
    .action(async (image: string, options: HistoryOptions) => {
      if (isStore(image)) return listStore(image, options, messages);
      if (options.pin !== undefined && options.pin === options.unpin) {
        throw new VermilionError("USAGE", `--pin ${options.pin} --unpin ${options.pin}: leave one of them out`);
      }
      if (options.pin !== undefined) await Images.pin(image, options.pin);
      if (options.unpin !== undefined) await Images.unpin(image, options.unpin);
      const epochs = await Images.history(image);
      if (options.json === true) print(JSON.stringify(epochs, undefined, 2));
      else print(epochs.length === 0 ? "no epochs" : tree(epochs).join("\n"));
    });
}

async function listStore(named: string, { pin, unpin, json }: HistoryOptions, messages: Messages): Promise<void> {
  if (pin !== undefined || unpin !== undefined) throw new VermilionError("USAGE", `${named}: a store has no pins`);
  const events = { damaged: tellDamaged(messages) };
  const epochs = await withOldStore(named, (store) => Images.stored(store, events));
  if (json === true) return print(JSON.stringify(epochs, undefined, 2));
  const lines = epochs.map(({ epoch, parent, at, why, hostCalls, memoryByteLength, storedByteLength }) =>
    [
      `  ${String(epoch).padStart(4)}`,
      at.slice(0, 23).replace("T", " "),
      REASONS[why].padEnd(13),
      `${hostCalls} host calls`,
      `${byteText(memoryByteLength)}, ${byteText(storedByteLength)} in the store`,
      ...(parent === null ? [] : [`from ${parent}`]),
    ].join("  "),
  );
  print(lines.length === 0 ? "no epochs" : lines.join("\n"));
}

const REASONS: Readonly<Record<EpochSummary["why"], string>> = {
  period: "period",
  calls: "host calls",
  request: "asked for",
  guest: "the program",
  failure: "power failure",
  return: "call returned",
  trap: "trap",
};

/** Children below their parent; an only child stays in its column, so that a long history is a straight line. */
function tree(epochs: readonly EpochSummary[]): string[] {
  const known = new Set(epochs.map(({ epoch }) => epoch));
  const children = new Map<number | null, EpochSummary[]>();
  for (const entry of epochs) {
    const parent = entry.parent !== null && known.has(entry.parent) ? entry.parent : null;
    children.set(parent, [...(children.get(parent) ?? []), entry]);
  }
  const lines: string[] = [];
  const open: { readonly entry: EpochSummary; readonly indent: string }[] = [];
  const push = (entries: readonly EpochSummary[], indent: string) => {
    for (const entry of [...entries].reverse()) open.push({ entry, indent });
  };
  push(children.get(null) ?? [], "");
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    lines.push(`${next.indent}${lineOf(next.entry, known)}`);
    const below = children.get(next.entry.epoch) ?? [];
    push(below, below.length > 1 ? `${next.indent}  ` : next.indent);
  }
  return lines;
}

function lineOf(entry: EpochSummary, known: ReadonlySet<number>): string {
  const { epoch, parent, current, pinned, at, why, pagesWritten, hostCalls, memoryByteLength, diskByteLength } = entry;
  return [
    `${current ? "*" : " "} ${String(epoch).padStart(4)}`,
    at.slice(0, 23).replace("T", " "),
    REASONS[why].padEnd(13),
    `${pagesWritten} pages written`,
    `${hostCalls} host calls`,
    `${byteText(memoryByteLength)}, ${byteText(diskByteLength)} on the disk`,
    ...(pinned ? ["pinned"] : []),
    ...(parent !== null && !known.has(parent) ? [`from ${parent}`] : []),
  ].join("  ");
}
