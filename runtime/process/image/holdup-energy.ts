/** What the public API says of hold-up energy; apart from its means, whose types need those of Node. */

export interface HoldupEnergy {
  readonly milliseconds: number;
  /** At which the image is written out. */
  readonly bytesPerSecond: number;
}

/** How a save was cut. */
export interface Cut {
  /** Bytes of the whole save. */
  readonly neededByteLength: number;
  /** Bytes for which there was energy. */
  readonly heldByteLength: number;
}
