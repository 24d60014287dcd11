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
  /** Nothing is known from here on. */
  #top = 0;

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
      this.#top = Math.max(this.#top, fd + 1);
    }
    return landing;
  }

  /** V1. */
  forget(): void {
    for (let fd = 0; fd < this.#top; fd++) this.#known[fd] = UNKNOWN;
    this.#top = 0;
  }
}
