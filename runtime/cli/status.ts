/** Exit statuses besides the guest's own. docs/persistence-model.md#exit-statuses */
export const EXIT = {
  success: 0,
  /** An exploration has found a way to break the program. */
  found: 1,
  usage: 2,
  /** A mistake of ours. */
  internal: 70,
  /** The image, the module, the disk. */
  inputOutput: 74,
  /** A power failure was saved: the same command goes on. */
  powerFailure: 85,
  /** The time limit is over; the state was saved, as above. timeout(1) ends like this. */
  timeLimit: 124,
  /** The guest trapped; a shell shows SIGABRT like this. */
  trap: 134,
} as const;
