import { readdirSync, readFileSync } from "node:fs";

/** Microseconds of processor time that the threads of a group of processes have used. */
export function processorMicroseconds(group: number): number {
  let nanoseconds = 0;
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const status = readFileSync(`/proc/${entry}/stat`, "latin1");
      const [, , processGroup] = status.slice(status.lastIndexOf(")") + 2).split(" ");
      if (Number(processGroup) !== group) continue;
      for (const thread of readdirSync(`/proc/${entry}/task`)) {
        nanoseconds += Number(readFileSync(`/proc/${entry}/task/${thread}/schedstat`, "latin1").split(" ")[0]);
      }
    } catch {
      // It has ended meanwhile.
    }
  }
  return nanoseconds / 1000;
}
