import { writeSync } from "node:fs";
import { VermilionError } from "../index.js";
import { plainLine } from "./plain-text.js";
import { EXIT } from "./status.js";

/** What the user gave is wrong, not the disk or the image. */
const USAGE_CODES = new Set([
  "BAD_ARGUMENT",
  "CALL_NEEDED",
  "IN_PLACE",
  "NO_INSTANCE",
  "NO_SUCH_EXPORT",
  "TRACE_INVALID",
  "USAGE",
]);

export interface MessageOptions {
  readonly quiet?: boolean | undefined;
  readonly json?: boolean | undefined;
  readonly verbose?: boolean | undefined;
}

/** Everything that Vermilion itself says: lines on stderr, as text or as JSON. stdout belongs to the guest. */
export class Messages {
  #options: MessageOptions = {};

  configure(options: MessageOptions): void {
    this.#options = options;
  }

  /** Progress and news; not with --quiet. */
  news(event: string, text: string, facts: object = {}): void {
    if (this.#options.quiet !== true) this.#line(event, text, facts);
  }

  /** What has gone wrong; also with --quiet. Returns the exit status for it. */
  failure(error: unknown): number {
    const known = error instanceof VermilionError;
    const text = error instanceof Error ? error.message : String(error);
    const code = known ? error.code : "INTERNAL";
    this.#line("error", known ? text : `internal error: ${text}; please report it, with --verbose`, { code });
    if (this.#tracing && error instanceof Error) this.raw(`${traceOf(error)}\n`);
    if (!known) return EXIT.internal;
    return USAGE_CODES.has(error.code) ? EXIT.usage : EXIT.inputOutput;
  }

  /** Of the command line itself. Returns the exit status for it. */
  misuse(text: string): number {
    if (this.#options.json === true) this.#line("error", text.trimEnd().replace(/^error: /, ""), { code: "USAGE" });
    else this.raw(text);
    return EXIT.usage;
  }

  /** Nobody is told when stderr is gone: the exit status says it too. */
  raw(text: string): void {
    try {
      writeSync(2, text);
    } catch {}
  }

  get #tracing(): boolean {
    return this.#options.verbose === true || process.env["VERMILION_TRACE"] === "1";
  }

  #line(event: string, text: string, facts: object): void {
    const { json } = this.#options;
    this.raw(
      json === true ? `${JSON.stringify({ event, message: text, ...facts })}\n` : `vermilion: ${plainLine(text)}\n`,
    );
  }
}

function traceOf(error: Error): string {
  const { stack = error.message, cause } = error;
  return cause instanceof Error ? `${stack}\ncaused by: ${traceOf(cause)}` : stack;
}
