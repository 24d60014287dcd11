/**
 * Where the output of each descriptor lands, as far as it has been asked: every read and write has to know, and only some calls
 * can change it.
 *
 * V1  What is known is forgotten when a number may mean another file, or another way of writing to it (`moves` in call-traits.ts).
 */
import type { Observer } from "../../wasi/index.js";

const UNKNOWN = 255;
/** Descriptors from here on are asked about each time. */
const LANDINGS = 4096;

export class Landings {
  readonly #observer: Observer;
  readonly #known = new Uint8Array(LANDINGS).fill(UNKNOWN);

  constructor(observer: Observer) {
    this.#observer = observer;
  }

  /** A number of `Landing`. */
  of(fd: number): number {
    if (!(fd >= 0 && fd < LANDINGS)) return this.#observer.landingOf(fd >>> 0);
    let landing = this.#known[fd]!;
    if (landing === UNKNOWN) {
      landing = this.#observer.landingOf(fd);
      this.#known[fd] = landing;
    }
    return landing;
  }

  /** V1. */
  forget(): void {
    this.#known.fill(UNKNOWN);
  }
}
