/**
 * Which functions the engine's baseline compiler compiles, in all threads of the program: from V8's trace events, by the inspector
 * protocol's NodeTracing domain (Node documents it as experimental; only the main thread has it). Where it fails, nothing is
 * recorded.
 */
import type { CompiledFunction } from "./start-profile.js";

const CATEGORY = "disabled-by-default-v8.wasm.detailed";
const EVENT = "wasm.CompileBaseline";
/** The last events come from another thread. */
const PATIENCE_MILLISECONDS = 200;

interface TraceEvent {
  readonly name: string;
  readonly args: { readonly funcIndex?: number; readonly bodySize?: number };
}

type Session = import("node:inspector").Session;

export class CompilationRecorder {
  readonly #session: Session;
  readonly #compiled: CompiledFunction[] = [];
  readonly #complete: Promise<void>;

  private constructor(session: Session) {
    this.#session = session;
    session.on("NodeTracing.dataCollected", ({ params }) => this.#add(params.value as TraceEvent[]));
    this.#complete = new Promise((resolve) => session.once("NodeTracing.tracingComplete", () => resolve()));
  }

  /** Undefined: this Node cannot. */
  static begin(): CompilationRecorder | undefined {
    try {
      const { Session } = process.getBuiltinModule("node:inspector");
      const session = new Session();
      session.connect();
      let failed = false;
      const traceConfig = { includedCategories: [CATEGORY] };
      session.post("NodeTracing.start", { traceConfig }, (error) => {
        failed = error !== null;
      });
      if (!failed) return new CompilationRecorder(session);
      session.disconnect();
    } catch {} // built without an inspector
    return undefined;
  }

  /** What was compiled since it began. */
  async end(): Promise<readonly CompiledFunction[]> {
    this.#session.post("NodeTracing.stop");
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MILLISECONDS);
    });
    await Promise.race([this.#complete, patience]);
    clearTimeout(timer);
    this.#session.disconnect();
    return this.#compiled;
  }

  cancel(): void {
    this.#session.disconnect();
  }

  #add(events: readonly TraceEvent[]): void {
    for (const { name, args } of events) {
      const { funcIndex: index, bodySize: bodyByteLength } = args;
      if (name === EVENT && index !== undefined && bodyByteLength !== undefined) {
        this.#compiled.push({ index, bodyByteLength });
      }
    }
  }
}
