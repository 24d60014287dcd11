/**
 * Texts of modules and images (names of functions and imports, arguments, paths) as a terminal may get them: they come from
 * others, and control characters in them would be commands to the terminal, or lines that look like ours.
 */

const CONTROL = /(?!\n)\p{Cc}/gu;

/** Lines stay lines. */
export function plainLines(text: string): string {
  return text.replace(CONTROL, escapeOf);
}

/** One line. */
export function plainLine(text: string): string {
  return plainLines(text).replaceAll("\n", "\\n");
}

/** As it could be typed into a shell. */
export function quoted(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (plainLine(word) === word) return `'${word.replaceAll("'", "'\\''")}'`;
  return `$'${plainLine(word.replace(/[\\']/g, "\\$&"))}'`;
}

function escapeOf(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
