/** What an exploration and its searchers say to each other. */
import type { SerializedError } from "../process/protocol.js";
import type { Reference, Repetition, WalkOrder, WalkReport } from "./explorer.js";
import type { Aspect } from "./observation.js";
import type { RestartExploration, RestartExploreOptions } from "./restarts-here.js";
import type { Share } from "./strata.js";
import type { Subject } from "./subject.js";
import type { Trace } from "./trace.js";

/** What a searcher is made for. */
export interface SearcherData {
  readonly subject: Subject;
  readonly aspects: readonly Aspect[];
  readonly checkerExport: string | undefined;
  readonly keepsContents: boolean;
  readonly checker: Subject | undefined;
  /** For files of runs; whoever started the searcher removes it. */
  readonly folder: string;
  readonly cacheDirectory: string | undefined;
  /** Of all searchers together, after which they stop. */
  readonly mostFailures: number | undefined;
  /** See Tally. */
  readonly tally: string;
}

export type SearchOrder =
  | { readonly kind: "refer" }
  /** To every searcher but the one that found it. */
  | { readonly kind: "reference"; readonly reference: Reference }
  | { readonly kind: "walk"; readonly order: WalkOrder }
  | { readonly kind: "repeat"; readonly trace: Trace }
  /** Of a program that begins again, whatever the searcher was made for. */
  | { readonly kind: "restarts"; readonly options: RestartExploreOptions; readonly part: Share };

/** Each answers one order. */
export type SearchReport =
  | { readonly kind: "reference"; readonly reference: Reference }
  | { readonly kind: "walked"; readonly report: WalkReport }
  | { readonly kind: "repeated"; readonly repetition: Repetition | undefined }
  | { readonly kind: "restarted"; readonly exploration: RestartExploration }
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly error: SerializedError };
