/** What is measured as something grows. */

export interface Point {
  readonly x: number;
  readonly y: number[];
}

/** What is expected of a cost: not to grow, or not to grow faster than the work. */
export type Growth = "constant" | "linear";

export interface Axes {
  readonly name: string;
  /** What grows, with its unit; and what is measured, with its unit. */
  readonly x: string;
  readonly y: string;
  readonly expected: Growth;
}

export interface Series extends Axes {
  /** Of the question that it answers; and which build answered it, when. */
  readonly question: string;
  readonly commit: string;
  readonly startedAt: string;
  readonly points: Point[];
}

/** Many events of one kind, in milliseconds. */
export interface Distribution {
  readonly question: string;
  readonly commit: string;
  readonly startedAt: string;
  readonly what: string;
  readonly events: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly longest: number;
}

/** Takes the samples of one question. */
export interface Sink {
  add(axes: Axes, x: number, ...y: readonly number[]): void;
  /** An event, in milliseconds, of a kind whose percentiles are asked for. */
  event(what: string, ...milliseconds: readonly number[]): void;
}

export interface Sizes {
  readonly quick: boolean;
  /** Where the images are. */
  readonly directory: string;
  /** After this moment of performance.now() nothing more is begun. */
  readonly deadline: number;
}

export interface Question {
  readonly name: string;
  /** Once is enough: its samples are many. */
  readonly once?: boolean;
  /** One round. Throws `Unavailable` where it cannot be answered. */
  round(sizes: Sizes, sink: Sink): Promise<void>;
}

export function upTo(largest: number, ...values: readonly number[]): number[] {
  return values.filter((value) => value <= largest);
}

export function isOver({ deadline }: Sizes): boolean {
  return performance.now() > deadline;
}

export const MILLISECONDS = "ms";
