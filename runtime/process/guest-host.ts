/** What a machine asks of the guest that it runs: imports, memory, whether to stop, persistence points. */
import { VERMILION_MODULE } from "../instrument/own-modules.js";
import { ProcessExit } from "../wasi/index.js";
import type { ControlBlock } from "./control-block.js";
import type { GuestEpochs } from "./guest-epochs.js";
import type { GuestMemories } from "./guest-memories.js";
import type { HostFunctions } from "./host-functions.js";
import type { HostResult, MachineHost } from "./machine-host.js";
import { pmemCalls } from "./pmem-calls.js";
import type { PointSchedule } from "./point-schedule.js";
import type { Program } from "./program.js";
import type { SystemInterface } from "./system-interface.js";

export interface GuestParts {
  readonly control: ControlBlock;
  readonly points: PointSchedule;
  readonly system: SystemInterface;
  readonly hostFunctions: HostFunctions;
  readonly memories: GuestMemories;
  readonly epochs: GuestEpochs;
}

export function machineHostOf(program: Program, guest: GuestParts): MachineHost {
  const { control, points, system, hostFunctions, memories, epochs } = guest;
  const logged = (label: string, call: () => HostResult) => system.hostFunction(label, call);
  const given = hostFunctions.boundTo(program.module, logged);
  return {
    functions: {
      ...given,
      [VERMILION_MODULE]: { ...pmemCalls(), ...epochs.calls, ...given[VERMILION_MODULE] },
      wasi_snapshot_preview1: system.functions,
      wasi_unstable: system.unstableFunctions,
    },
    unrestartable: new Set(Object.keys(given)),
    attachMemory: (index, memory) => memories.attach(index, memory, program),
    growMemory: (index, byteLength) => memories.grow(index, byteLength),
    failurePending: () => control.failurePending || system.stoppedBefore !== undefined,
    lowerFlag: () => control.lowerFlag(),
    points: {
      isDue: () => (points.isDue() || epochs.logWantsPoint) && !system.isBehindLog(),
      passesCall: () => points.passesCall(),
      isDueAtCall: () => (points.isDueAtCall() || epochs.logWantsPoint) && !system.isReplaying,
      patience: () => points.patience,
      isDueAfterCall: () => epochs.guestAsks,
      askedAfter: new Set([VERMILION_MODULE]),
      persist: (state, frames) => epochs.persist(state, frames),
    },
    exitStatus: (error) => (error instanceof ProcessExit ? error.status : undefined),
  };
}
