import type { Messages } from "./messages.js";

const PATIENCE_MILLISECONDS = 1000;

/** Says what takes long, while it does, to a person at a terminal. */
export class Progress {
  readonly #messages: Messages;
  readonly #name: string;
  #timer: NodeJS.Timeout | undefined;

  constructor(messages: Messages, name: string) {
    this.#messages = messages;
    this.#name = name;
  }

  instrumenting(byteLength: number): void {
    if (!process.stderr.isTTY) return;
    const text = `instrumenting ${this.#name} (${(byteLength / 1e6).toFixed(1)} MB), once for this version of it ...`;
    this.#timer = setTimeout(() => this.#messages.news("instrumenting", text, { byteLength }), PATIENCE_MILLISECONDS);
  }

  done(): void {
    clearTimeout(this.#timer);
  }
}
