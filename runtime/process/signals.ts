/**
 * Turns signals to this program into a call, for as long as the source is open. A signal that nobody asked for keeps its
 * default action: Ctrl-C ends the program at once, and the guest with it.
 */
export class SignalSource {
  readonly #signals: readonly NodeJS.Signals[];
  readonly #receive: () => void;

  constructor(signals: readonly NodeJS.Signals[], receive: () => void) {
    this.#signals = [...new Set(signals)];
    this.#receive = receive;
    for (const signal of this.#signals) process.on(signal, this.#receive);
  }

  close(): void {
    for (const signal of this.#signals) process.off(signal, this.#receive);
  }
}
