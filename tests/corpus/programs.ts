import type { Program } from "./program.js";
import { measuredPrograms } from "./programs/measured.js";
import { ownPrograms } from "./programs/own.js";
import { thirdPartyPrograms } from "./programs/third-party.js";
import { toolchainPrograms } from "./programs/toolchain.js";

export const programs: readonly Program[] = [
  ...ownPrograms,
  ...thirdPartyPrograms,
  ...toolchainPrograms,
  ...measuredPrograms,
];
