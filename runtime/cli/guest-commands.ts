/** Commands that run a guest in this program. */
export const GUEST_COMMANDS: readonly string[] = ["run", "resume", "call"];
