/**
 * How a process is kept while it runs: when persistence points are made, and how host calls are logged. It belongs to the
 * image: a run that is told nothing goes on with it. docs/persistence-model.md#persistence-points
 */
import { VermilionError } from "../../pmem/error.js";
import type { PersistEvery } from "./point-schedule.js";

/** Output of which nobody knows whether it left: make the call again, or take it as made. */
export type Uncertain = "repeat" | "skip";

/** What a log survives: the death of the process, or also that of the system. */
export type Durability = "process" | "system";

/** How host calls are logged, and what becomes of the one that a kill leaves in doubt. */
export interface LogOptions {
  /**
   * Output to a pipe, terminal or socket that was under way when the process was killed: make it again, or take it as
   * made. Default: "repeat".
   */
  readonly uncertain?: Uncertain | undefined;
  /** What the log survives: the death of the process, or also that of the system, flushed before output. Default: "process". */
  readonly durability?: Durability | undefined;
  /**
   * Processor time of the guest's that a recovery may have to repeat; beyond that, a persistence point is made. Default:
   * 1000; null: no limit.
   */
  readonly recoveryTargetMilliseconds?: number | null | undefined;
}

export interface LogOrder {
  readonly uncertain: Uncertain;
  readonly durability: Durability;
  /** Milliseconds of the guest's processor time that a recovery may take; beyond that, a persistence point is due. */
  readonly recoveryTarget: number | undefined;
  /** The user asked for it by name: an error if it cannot be kept. */
  readonly required: boolean;
}

export interface PersistencePolicy {
  readonly points: PersistEvery;
  /** How host calls are logged; undefined: not at all. */
  readonly log: LogOrder | undefined;
}

/** What a run is told of it, as in RunOptions; undefined: as before. */
export interface PolicyWishes {
  readonly persistEvery: PersistEvery | null | undefined;
  readonly log: boolean | LogOptions | undefined;
}

export const NO_POLICY: PersistencePolicy = { points: {}, log: undefined };

const USUAL_LOG: LogOrder = { uncertain: "repeat", durability: "process", recoveryTarget: 1000, required: false };

/** The policy of a run that is told this, behind one that had `before`. USAGE: an image could not keep it. */
export function nextPolicy(wishes: PolicyWishes, before: PersistencePolicy): PersistencePolicy {
  const points = nextPoints(wishes.persistEvery, before.points);
  const policy = { points, log: nextLog(wishes.log, points, before) };
  if (parsePolicy(policy) !== undefined) return policy;
  throw new VermilionError(
    "USAGE",
    "persistEvery or log has a setting that there is not, or a number that makes no sense",
  );
}

export function makesPoints({ milliseconds, hostCalls }: PersistEvery): boolean {
  return milliseconds !== undefined || hostCalls !== undefined;
}

/** A time and a number of calls replace whichever there was before. */
function nextPoints(wish: PersistEvery | null | undefined, before: PersistEvery): PersistEvery {
  if (wish === null) return {};
  if (wish === undefined) return before;
  const { milliseconds, hostCalls } = makesPoints(wish) ? wish : before;
  return { milliseconds: finite(milliseconds), hostCalls, synchronous: wish.synchronous ?? before.synchronous };
}

function nextLog(wish: PolicyWishes["log"], points: PersistEvery, before: PersistencePolicy): LogOrder | undefined {
  if (wish === false) return undefined;
  if (wish === undefined) {
    if (before.log !== undefined) return before.log.required || makesPoints(points) ? before.log : undefined;
    const refused = makesPoints(before.points); // points without a log: somebody has wanted it so
    return makesPoints(points) && !refused ? USUAL_LOG : undefined;
  }
  const { uncertain, durability, recoveryTargetMilliseconds: target } = wish === true ? {} : wish;
  const usual = before.log ?? USUAL_LOG;
  return {
    uncertain: uncertain ?? usual.uncertain,
    durability: durability ?? usual.durability,
    recoveryTarget: target === undefined ? usual.recoveryTarget : finite(target ?? undefined),
    required: true,
  };
}

/** Images are JSON, which has no infinity; a time that is as good as one. */
function finite(milliseconds: number | undefined): number | undefined {
  return milliseconds === Number.POSITIVE_INFINITY ? Number.MAX_VALUE : milliseconds;
}

/** As an image has it, which may come from others; undefined: it is malformed. */
export function parsePolicy(value: unknown): PersistencePolicy | undefined {
  if (!isObject(value)) return undefined;
  const { points, log } = value;
  if (!isObject(points)) return undefined;
  const { milliseconds, hostCalls, synchronous } = points;
  if (!isAbsentOr(milliseconds, isPositive) || !isAbsentOr(hostCalls, isCount)) return undefined;
  if (!isAbsentOr(synchronous, isBoolean)) return undefined;
  if (log !== undefined && !isLogOrder(log)) return undefined;
  return { points: { milliseconds, hostCalls, synchronous }, log };
}

type Fields = Readonly<Partial<Record<keyof PersistencePolicy | keyof PersistEvery | keyof LogOrder, unknown>>>;

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}

function isLogOrder(value: unknown): value is LogOrder {
  if (!isObject(value)) return false;
  const { uncertain, durability, recoveryTarget, required } = value;
  return (
    (uncertain === "repeat" || uncertain === "skip") &&
    (durability === "process" || durability === "system") &&
    isAbsentOr(recoveryTarget, isDuration) &&
    isBoolean(required)
  );
}

function isAbsentOr<Value>(value: unknown, is: (value: unknown) => value is Value): value is Value | undefined {
  return value === undefined || is(value);
}

function isPositive(value: unknown): value is number {
  return isDuration(value) && value > 0;
}

function isDuration(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && Number.isFinite(value);
}

function isCount(value: unknown): value is number {
  return isPositive(value) && Number.isSafeInteger(value);
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}
