/** The machine under a log: which start of it this is, and what flushes names. The tests that cut its power put it in files.ts's place. */
export const machine = { boot: "", syncNames: (): void => {} };

/** A module mock of files.ts: all of it but these two. */
export async function onSimulatedMachine(original: () => Promise<object>): Promise<object> {
  return { ...(await original()), bootId: () => machine.boot, syncNames: () => machine.syncNames() };
}
