/** The names of an image's files. docs/image-format.md#files */
export const HEADER_NAME = "header";
export const NEW_HEADER_NAME = "header.new";
export const MODULE_NAME = "module.wasm";
/** The memory of a trapped guest: like a state file, but of no epoch. */
export const TRAP_NAME = "trap";
export const memoryName = (index: number): string => `memory-${index}`;
export const segmentName = (segment: number): string => `pages-${segment}`;
export const stateName = (epoch: number): string => `state-${epoch}`;
/** A file that keeps an epoch. */
export const pinName = (epoch: number): string => `pinned-${epoch}`;

export const segmentNumber = (name: string): number | undefined => numberIn(/^pages-(\d{1,10})$/, name);
export const stateNumber = (name: string): number | undefined => numberIn(/^state-(\d{1,15})$/, name);
export const pinNumber = (name: string): number | undefined => numberIn(/^pinned-(\d{1,15})$/, name);
/** Whether a file holds linear memory, or an epoch's state. */
export const isHistoryName = (name: string): boolean => /^(?:memory|pages|state)-\d{1,15}$/.test(name);

/** Whether a file of this name can belong to an image; nothing else is ever removed. */
export function isImageName(name: string): boolean {
  const known =
    /^(?:header|header\.new|lock|log\.new|open-files|module\.wasm|trap|(?:log|memory|pages|state|pinned)-\d+|(?:state-\d+|trap)\.new)$/;
  return known.test(name);
}

function numberIn(pattern: RegExp, name: string): number | undefined {
  const [, digits] = pattern.exec(name) ?? [];
  return digits === undefined ? undefined : Number(digits);
}
