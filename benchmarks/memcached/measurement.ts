/** What the load generator prints. */
export interface LoadResult {
  readonly operations: number;
  readonly perSecond: number;
  /** From the write of a batch to its last answer. */
  readonly p50Microseconds: number;
  readonly p99Microseconds: number;
  /** Of the generator's time: near 1 it is the generator that is measured. */
  readonly generatorBusy: number;
}

export interface Measurement extends LoadResult {
  /** Processor time of the server for one request, all threads. */
  readonly serverMicroseconds: number;
}
