/**
 * A guest put together, short of running: its image and program, what backs its memories and answers its calls, and the
 * machine, which holds the saved state again.
 *
 * G3  Where the engine leaves no room for a flag, the program is loaded again in the form that counts; nothing has been
 *     attached to the first by then.
 */
import { GuestEpochs } from "./guest-epochs.js";
import { type GuestParts, machineHostOf } from "./guest-host.js";
import { GuestMemories, NO_FLAG } from "./guest-memories.js";
import { type OpenedGuest, type OpeningParts, openGuest } from "./guest-opening.js";
import { createWakeDescriptor, misfit } from "./guest-preparation.js";
import { Machine } from "./machine.js";
import { NO_REPLACEMENT, ReplacementSchedule } from "./on-stack-replacement.js";
import { abandonImage, type OpenedImage } from "./opened-image.js";
import type { RemoteCompiler } from "./optimizing-compiler.js";
import { PointSchedule } from "./point-schedule.js";
import { frameCountOf, logNumberOf, policyOf } from "./process-state.js";
import type { Program } from "./program.js";
import type { PrepareOrder, Resumption } from "./protocol.js";
import { remoteCommitter } from "./remote-commit.js";
import { remoteKeeper } from "./remote-log-keeper.js";
import { SystemInterface } from "./system-interface.js";

/** What the thread of a guest has for it. */
export interface ThreadParts extends OpeningParts {
  readonly compiler: RemoteCompiler;
}

/** Owned by the caller, which closes the system interface first, then the image. */
export interface AssembledGuest extends OpenedImage, GuestParts {
  readonly machine: Machine;
  /** What goes on; undefined: a clean start, or an instance that waits for a call. */
  readonly resumes: Resumption | undefined;
}

/** Whatever it opened is closed again if it throws: StackTooShort, too. */
export function assembleGuest(order: PrepareOrder, thread: ThreadParts): AssembledGuest {
  const { control, tell, hostFunctions, compiler } = thread;
  const { opened, holdup, wasiOptions, loadCounting } = openGuest(order, thread);
  const { image, command, state, log } = opened;
  const points = new PointSchedule(control);
  const closers: (() => void)[] = [() => log?.close(), () => abandonImage(opened)];
  try {
    const wakeDescriptor = createWakeDescriptor();
    control.setWakeDescriptor(wakeDescriptor); // stays open: the main thread may be about to write to it
    const notice = (message: string) => tell({ kind: "notice", message });
    const system = new SystemInterface({
      ...{ options: wasiOptions, image: image.path, state: state?.wasi, log, notice },
      keptFiles: () => image.keptFiles(),
      fill: (address, byteLength) => tell({ kind: "fill", address, byteLength }),
      keeper: remoteKeeper(control, (chores) => tell({ kind: "log", chores })),
      replaying: (calls, progress) => tell({ kind: "replaying", calls, progress }),
    });
    closers.push(() => system.close());
    const epochs = new GuestEpochs({
      ...{ image, system, points, holdup, tell },
      committer: remoteCommitter(control, (commit) => tell({ kind: "commit", commit })),
      firstLog: logNumberOf(state, image.path),
      policy: log?.beginning.policy ?? policyOf(state, image.path),
    });
    const memories = new GuestMemories({
      ...{ image, saved: state !== undefined, control },
      limit: command.maxMemoryByteLength,
      bind: (memory, memoryAddress) => {
        const failurePending = () => control.failurePending || points.isRequested;
        system.bind({ memory, memoryAddress, failurePending, wakeDescriptor });
        hostFunctions.attach(memory);
      },
      ask: (index, byteLength, grow) => system.grow(index, byteLength, grow),
      notice,
    });
    const parts: GuestParts = { control, points, system, hostFunctions, memories, epochs };
    const { program, machine } = createMachine(opened.program, parts, compiler, loadCounting);
    memories.check(program.module);
    const resumes = restore(machine, opened);
    if (!image.header.inPlace) image.announce(order.persistOn);
    return { ...opened, ...parts, program, machine, resumes };
  } catch (error) {
    for (const close of closers.reverse()) close();
    throw error;
  }
}

/** G3. */
function createMachine(
  program: Program,
  parts: GuestParts,
  compiler: RemoteCompiler,
  loadCounting: OpenedGuest["loadCounting"],
): Pick<AssembledGuest, "program" | "machine"> {
  const replacement = compiler.optimizes ? new ReplacementSchedule(compiler.compile) : NO_REPLACEMENT;
  const create = (form: Program) => ({
    program: form,
    machine: new Machine(form, machineHostOf(form, parts), replacement, compiler),
  });
  try {
    return create(program);
  } catch (error) {
    if (error !== NO_FLAG) throw error;
    return create(loadCounting());
  }
}

function restore(machine: Machine, { image, command, state, log }: OpenedImage): Resumption | undefined {
  if (state === undefined) return log && { epoch: 0, frames: 0, loggedCalls: log.callCount }; // it leads on from there
  machine.restore(state.machine);
  if (!machine.restoredIdle || log?.beginning.call !== undefined) {
    const frames = frameCountOf(state, image.path);
    return { epoch: image.header.epoch, frames, loggedCalls: log?.callCount ?? null };
  }
  if (command.instance) return undefined;
  throw misfit(image.path, "it has no stack to go on with");
}
