/** How durations read: a number and its unit. */
const UNITS: Readonly<Record<string, number>> = { us: 1e-3, ms: 1, s: 1e3, m: 60e3, h: 3600e3 };
/** What a timer of Node can wait. */
const LONGEST_MILLISECONDS = 2 ** 31 - 1;

export const DURATION_FORM = "a number and us, ms, s, m or h, at most 596h";

/** Undefined: the text is none, or longer than can be waited for. */
export function parseMilliseconds(text: string): number | undefined {
  const [, amount, unit] = /^([0-9]*\.?[0-9]+)(us|ms|s|m|h)$/.exec(text) ?? [];
  const value = Number(amount) * (UNITS[unit ?? ""] ?? Number.NaN);
  return value <= LONGEST_MILLISECONDS ? value : undefined;
}
