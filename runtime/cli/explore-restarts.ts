/** `vermilion explore --domain adr`: failures that take the process, and leave what it made persistent itself. */
import { VermilionError } from "../index.js";
import type { RestartExploration, RestartExploreOptions } from "../testing/index.js";
import { print } from "./listing.js";
import { EXIT } from "./status.js";

/** Fewer guests say nothing of how fast it is. */
const LEAST_FOR_RATE = 100;

/** `repeatCommand` makes the command that repeats a finding; `unused` are options that mean nothing here. */
export async function exploreRestartsCommand(
  given: RestartExploreOptions,
  options: { readonly json?: boolean | undefined; readonly unused: readonly string[] },
  repeatCommand: (at: string) => string,
): Promise<number> {
  if (options.unused.length > 0) {
    throw new VermilionError(
      "USAGE",
      `${options.unused.join(", ")}: not for a program that begins again at main (--domain ${given.domain}); leave it out`,
    );
  }
  const { describeRestartFinding, exploreRestarts } = await import("../testing/index.js");
  const exploration = await exploreRestarts(given);
  if (options.json === true) print(JSON.stringify(withCommand(exploration, repeatCommand), undefined, 2));
  else {
    const finding = exploration.finding && describeRestartFinding(exploration.finding);
    print(describe(exploration, finding, given.at, repeatCommand));
  }
  return exploration.finding === undefined ? EXIT.success : EXIT.found;
}

function withCommand(exploration: RestartExploration, command: (at: string) => string): object {
  const { finding } = exploration;
  return finding === undefined ? exploration : { ...exploration, finding: { ...finding, again: command(finding.at) } };
}

function describe(
  exploration: RestartExploration,
  described: readonly string[] | undefined,
  at: string | undefined,
  command: (at: string) => string,
): string {
  const { module, domain, points, sampled, guests, pruned, milliseconds, complete, finding } = exploration;
  const rate = guests < LEAST_FOR_RATE ? "" : ` (${((1000 * guests) / milliseconds).toFixed(0)}/s)`;
  const lines = [
    `${module}: ${points} crash points under ${domain}, ${guests} guests in ${(milliseconds / 1000).toFixed(1)} s` +
      `${rate}, ${pruned} states left what another had left`,
  ];
  if (finding !== undefined) {
    lines.push("", ...(described ?? []));
    if (at === undefined) lines.push(`again:  ${command(finding.at)}`);
  } else if (at !== undefined) lines.push(`${at}: the program survives it`);
  else if (complete) lines.push("every guest found its state consistent");
  else lines.push("every guest found its state consistent, until the budget ended");
  if (finding === undefined && exploration.keepsNothing) {
    lines.push(
      "but nothing of it outlives a failure: it calls no vermilion_pmem and is granted no directory with --dir",
    );
  }
  if (finding === undefined && sampled > 0) {
    lines.push(
      `not all was looked at: ${sampled} of the points may leave more states than --states allows (those chosen are the ` +
        "likeliest, and some at random by --seed)",
    );
  }
  return lines.join("\n");
}
