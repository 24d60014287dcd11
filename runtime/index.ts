/** Vermilion's public API. */
export { VermilionError } from "../pmem/error.js";
export { Images } from "./images.js";
export type { Command, Preopen } from "./process/command.js";
export type { Comparison, GlobalComparison, MemoryComparison } from "./process/comparison.js";
export type { FailureAtCall, FailurePlan } from "./process/failure-source.js";
export { type FrameInspection, frameText } from "./process/frame-inspection.js";
export type { EpochSummary } from "./process/history.js";
export { type HostedGuest, type HostImports, type HostModule, replayable } from "./process/host-functions.js";
export type { EpochReason, KeepPolicy } from "./process/image/epoch-record.js";
export type { Cut, HoldupEnergy } from "./process/image/holdup-energy.js";
export type { Collected } from "./process/image/upkeep.js";
export type { Verification } from "./process/image/verifying.js";
export type { DescriptorInspection, ImageSummary, Inspection } from "./process/inspect.js";
export type { PersistEvery } from "./process/point-schedule.js";
export { Process } from "./process/process.js";
export type { CreateOptions, LogOptions, OpenOptions, ProcessOptions, RunOptions } from "./process/process-options.js";
export type { Followed, IfUnfinished, Outcome, Resumption } from "./process/protocol.js";
export type { SignalName } from "./process/signals.js";
