/**
 * The machine under a log: which start of it this is, and what flushes names. The tests that cut its power put these in files.ts's
 * place. `computing` is what the guest does behind each call: a process may die there as well.
 */
export const machine = { boot: "", syncNames: (): void => {}, computing: (): void => {} };

/** A module mock of files.ts: all of it but the first two. */
export async function onSimulatedMachine(original: () => Promise<object>): Promise<object> {
  return { ...(await original()), bootId: () => machine.boot, syncNames: () => machine.syncNames() };
}
