/** The page's part about what grows as the work grows. */
import { headline, median } from "../report.js";
import { missing, table } from "./markdown.js";
import { plotScaling } from "./plots.js";
import { type Scaling, slopeOf } from "./results.js";

/** So many points from the end on are the end of a series, where fixed costs hide the least. */
const LAST_POINTS = 3;

type Series = Scaling["series"][number];

function shown(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 10 ? 1 : 2);
}

function row({ name, x, y, expected, points }: Series): string[] {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return [];
  return [
    `${name} (${y})`,
    `${shown(first.x)} to ${shown(last.x)} ${x}`,
    ...[first, last].map((point) => shown(median(point.y))),
    ...[points, points.slice(-LAST_POINTS)].map((part) => slopeOf(part).toFixed(2)),
    expected === "constant" ? "0" : "at most 1",
  ];
}

/** `picture`: keeps a plot beside the page, and gives the words that show it. */
export async function scalingPart(
  scaling: Scaling | undefined,
  picture: (name: string, svg: string, about: string) => string,
): Promise<string> {
  if (scaling === undefined) return "";
  const head = ["Medians", "from, to", "at the first", "at the last", "slope", "at the end", "expected"];
  const intro =
    "Slopes are those of lines through the logarithms: 1 is linear, 0 constant. Where a fixed cost hides the growth at first, " +
    "the slope at the end, of the last three sizes, tells more.";
  const parts = [
    `### Scaling\n\n${headline(scaling)}. ${intro}`,
    table([head, ...scaling.series.filter(({ points }) => points.length > 1).map(row)]),
  ];
  for (const question of new Set(scaling.series.map((each) => each.question))) {
    const all = scaling.series.filter((each) => each.question === question);
    const svg = await plotScaling(`Scaling: ${question}`, all);
    parts.push(picture(`scaling-${question.replace(/[^a-z0-9]+/g, "-")}`, svg, `Scaling: ${question}`));
  }
  if (scaling.distributions.length > 0) {
    const rows = scaling.distributions.map(({ what, events, p50, p99, p999, longest }) => [
      ...[what, events.toLocaleString("en"), ...[p50, p99, p999, longest].map((value) => value.toFixed(2))],
    ]);
    const names = ["Many events, ms", "events", "median", "99th percentile", "99.9th", "longest"];
    parts.push(table([names, ...rows]));
  }
  return `${parts.join("\n\n")}\n${missing(scaling.skipped)}`;
}
