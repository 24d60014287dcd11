/** Pieces of the page. */

/** The first row is the head; the first column stands to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const [head = [], ...rest] = rows;
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rest.map(line)].join("\n");
}

/** What was left out, and why; nothing if nothing was. */
export function missing(skipped: Readonly<Record<string, string>>): string {
  const lines = Object.entries(skipped).map(([name, reason]) => `- ${name}: ${reason.split("\n").at(-1)}`);
  return lines.length === 0 ? "" : `\nLeft out:\n\n${lines.join("\n")}\n`;
}
