/** A program of the corpus: how it is built, and the runs that tests and benchmarks make of it. */

/** What a run is given. Every run starts with files of its own, and must end with the expected exit code. */
export interface Workload {
  readonly args: readonly string[];
  readonly stdin?: string;
  /**
   * Present: the run gets a fresh directory, preopened as /data, with these files in it (name: the file that is copied
   * in). What it holds afterwards is part of the result.
   */
  readonly files?: Readonly<Record<string, string>>;
  /** Directories that the run only reads, made when they are asked for. */
  readonly libraries?: () => readonly { readonly host: string; readonly guest: string }[];
  /** 0 where it is not given. */
  readonly exitCode?: number;
}

export interface Program {
  readonly name: string;
  /** What it adds to the corpus. */
  readonly about: string;
  /** What the overhead is judged by: kernels compute, interpreters run other programs, `system` programs are not timed. */
  readonly kind: "kernel" | "interpreter" | "system";
  /** The path of the module. Throws `Unavailable` where its compiler or its sources cannot be had. */
  build(): string;
  /** About 0.1 to 0.3 s without instrumentation. */
  readonly test: Workload;
  /** At least 2 s. Kernels and interpreters have one. */
  readonly benchmark?: Workload;
  /** Uses exceptions in the form that browsers shipped first, which wasmtime does not run. */
  readonly legacyExceptions?: true;
  /** For the benchmarks: the tests take it only when it is named. */
  readonly measuredOnly?: true;
  /** Too slow to start for the quick slice of the tests. */
  readonly slow?: true;
}
