import type { Messages } from "./messages.js";

const PATIENCE_MILLISECONDS = 1000;

/** Says what takes long, while it does, to a person at a terminal. */
export class Progress {
  readonly #messages: Messages;
  readonly #name: string;
  #timer: NodeJS.Timeout | undefined;
  #replayingSince: number | undefined;
  #nextReport = 0;

  constructor(messages: Messages, name: string) {
    this.#messages = messages;
    this.#name = name;
  }

  instrumenting(byteLength: number): void {
    if (!process.stderr.isTTY) return;
    const text = `instrumenting ${this.#name} (${(byteLength / 1e6).toFixed(1)} MB), once for this version of it ...`;
    this.#timer = setTimeout(() => this.#messages.news("instrumenting", text, { byteLength }), PATIENCE_MILLISECONDS);
  }

  /** The log of a killed process is followed. */
  replaying(calls: number, progress: number): void {
    if (!process.stderr.isTTY) return;
    const now = performance.now();
    this.#replayingSince ??= now;
    if (now - this.#replayingSince < PATIENCE_MILLISECONDS || now < this.#nextReport) return;
    this.#nextReport = now + PATIENCE_MILLISECONDS;
    const text = `following the log of ${this.#name}: ${calls} host calls, ${Math.floor(progress * 100)}% ...`;
    this.#messages.news("replaying", text, { calls, progress });
  }

  done(): void {
    clearTimeout(this.#timer);
  }
}
