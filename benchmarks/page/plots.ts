/** Plots as SVG, drawn by Vega without a browser. */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { median } from "../report.js";
import { type Overhead, type Rivals, ratioOf, type Scaling } from "./results.js";

async function draw(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}

const FRAME = {
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
  background: "white",
  config: { font: "sans-serif", axis: { labelLimit: 260 } },
} as const;

/** A point and its quartiles for every program; the rule is the plain module. */
export function plotOverhead(overhead: Overhead, variants: readonly string[], title: string): Promise<string> {
  const values = overhead.programs.flatMap((program) =>
    variants.flatMap((variant) => {
      const ratio = ratioOf(program, variant);
      return ratio === undefined
        ? []
        : [{ program: program.name, variant, ratio: ratio.middle, low: ratio.low, high: ratio.high }];
    }),
  );
  const order = values.filter(({ variant }) => variant === variants[0]).toSorted((a, b) => a.ratio - b.ratio);
  const y = { field: "program", type: "nominal", sort: order.map(({ program }) => program), title: null } as const;
  const scale = { type: "log", nice: false } as const;
  const color = {
    field: "variant",
    type: "nominal",
    sort: [...variants],
    legend: variants.length > 1 ? {} : null,
    title: null,
  } as const;
  return draw({
    ...FRAME,
    title,
    width: 520,
    data: { values },
    layer: [
      { mark: { type: "rule", strokeDash: [4, 3], color: "#888" }, encoding: { x: { datum: 1 } } },
      { mark: "rule", encoding: { y, color, x: { field: "low", type: "quantitative", scale }, x2: { field: "high" } } },
      {
        mark: { type: "point", filled: true, size: 40 },
        encoding: {
          ...{ y, color },
          x: { field: "ratio", type: "quantitative", scale, title: "time, ratio to the plain module (less is better)" },
        },
      },
    ],
  });
}

/** Bars on a logarithmic scale, one panel an experiment. */
export function plotRivals(rivals: Rivals, ways: readonly string[], title: string): Promise<string> {
  const values = rivals.experiments.flatMap(({ name, nanoseconds }) =>
    ways.flatMap((way) => {
      const times = nanoseconds[way];
      return times === undefined ? [] : [{ experiment: name, way, nanoseconds: median(times) }];
    }),
  );
  return draw({
    ...FRAME,
    title,
    data: { values },
    facet: {
      field: "experiment",
      type: "nominal",
      title: null,
      sort: rivals.experiments.map(({ name }) => name),
      header: { labelFontWeight: "bold" },
    },
    columns: 2,
    resolve: { scale: { y: "independent" } }, // no experiment has all ways
    spec: {
      width: 260,
      mark: { type: "point", filled: true, size: 60 },
      encoding: {
        y: { field: "way", type: "nominal", sort: [...ways], title: null },
        x: { field: "nanoseconds", type: "quantitative", scale: { type: "log" }, title: "ns an operation" },
        color: { field: "way", type: "nominal", sort: [...ways], legend: null },
      },
    },
  });
}

/** Both axes logarithmic: a line of slope 1 is linear. One panel a series; rules are from the least to the most. */
export function plotScaling(title: string, all: Scaling["series"]): Promise<string> {
  const label = ({ name, x, y }: Scaling["series"][number]) => `${name}|${y}, against ${x}`;
  const values = all.flatMap((each) =>
    each.points.map((point) => ({
      ...{ series: label(each), x: point.x, y: median(point.y) },
      ...{ low: Math.min(...point.y), high: Math.max(...point.y) },
    })),
  );
  const x = { field: "x", type: "quantitative", scale: { type: "log" }, title: null } as const;
  const up = { type: "quantitative", scale: { type: "log", nice: true }, title: null } as const;
  return draw({
    ...FRAME,
    title,
    data: { values },
    facet: {
      field: "series",
      type: "nominal",
      title: null,
      sort: all.map(label),
      header: { labelExpr: "split(datum.label, '|')", labelLimit: 340 },
    },
    columns: 2,
    resolve: { scale: { x: "independent", y: "independent" } },
    spec: {
      ...{ width: 300, height: 180 },
      layer: [
        { mark: { type: "line", point: true }, encoding: { x, y: { field: "y", ...up } } },
        { mark: "rule", encoding: { x, y: { field: "low", ...up }, y2: { field: "high" } } },
      ],
    },
  });
}
