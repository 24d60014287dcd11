/** The name of a signal, as "SIGTERM". */
export type SignalName = `SIG${string}`;

/**
 * Turns signals to this program into a call, for as long as the source is open. A signal that nobody asked for keeps its
 * default action: Ctrl-C ends the program at once, and the guest with it.
 */
export class SignalSource {
  readonly #signals: readonly SignalName[];
  readonly #receive: () => void;

  constructor(signals: readonly SignalName[], receive: () => void) {
    this.#signals = [...new Set(signals)];
    this.#receive = receive;
    for (const signal of this.#signals) process.on(signal as NodeJS.Signals, this.#receive);
  }

  close(): void {
    for (const signal of this.#signals) process.off(signal as NodeJS.Signals, this.#receive);
  }
}
