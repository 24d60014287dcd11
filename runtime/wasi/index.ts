/** The system interface, WASI preview1: everything that the rest of the runtime needs of it. */
export { describeState } from "./describe.js";
export type { Entry } from "./entry.js";
export { Errno } from "./errno.js";
export { WASI_SIGNATURES, WASI_TAKING_NUMBERS } from "./functions.js";
export { ProcessExit, RESTART, type WasiEnvironment } from "./host.js";
export { GuestMemory } from "./memory.js";
export { Landing, type Observer } from "./observer.js";
export type { WasiOptions } from "./options.js";
export type { SaveOptions } from "./save.js";
export { descriptorsText } from "./saved-descriptors.js";
export type { Simulation } from "./simulation.js";
export {
  type Place,
  parseDescriptors,
  parsePlace,
  parseState,
  type SavedDescriptor,
  type SavedState,
  WASI_STATE_VERSION,
} from "./state.js";
export { Wasi } from "./wasi.js";
