/**
 * The programs of guest-examples/crash-bugs: what mistake each has, and where it shows.
 *
 * `eadr`: the mistake shows there too, so that larger caches do not mend it. `failures`: in a row, until it shows.
 */
export interface CrashBug {
  readonly name: string;
  readonly mistake: string;
  readonly eadr: boolean;
  readonly failures: number;
  /** Granted an empty directory as "/". */
  readonly files?: true;
}

function bug(name: string, mistake: string, where: "adr" | "adr and eadr", failures = 1): CrashBug {
  return { name, mistake, eadr: where !== "adr", failures };
}

/** No domain keeps the page cache. */
function withFiles(name: string, mistake: string): CrashBug {
  return { ...bug(name, mistake, "adr and eadr"), files: true };
}

export const crashBugs: readonly CrashBug[] = [
  bug("missing-flush", "missing flush", "adr"),
  bug("missing-fence", "missing fence", "adr"),
  bug("flush-before-store", "flush before the store", "adr and eadr"),
  bug("flush-wrong-range", "flush of a wrong range: the pointer's length", "adr"),
  bug("flush-wrong-address", "flush of a wrong address", "adr"),
  bug("wrap-around", "flush of a part of what was stored", "adr"),
  bug("line-order", "two lines taken for one", "adr"),
  bug("copy-order", "a copy's words taken for ordered", "adr and eadr"),
  bug("flag-before-data", "wrong order: flag before data", "adr and eadr"),
  bug("size-before-data", "wrong order: size before data", "adr and eadr"),
  bug("split-order", "wrong order: keys cut off before their new node is linked", "adr and eadr"),
  bug("resize-order", "wrong order: capacity before table", "adr and eadr"),
  bug("shadow-root", "root before leaf", "adr"),
  bug("free-before-unlink", "freed before it is unlinked", "adr and eadr"),
  bug("torn-update", "torn update of two words", "adr and eadr"),
  bug("torn-pointer", "torn pointer", "adr and eadr"),
  bug("missing-checksum", "torn log record", "adr and eadr"),
  bug("missing-log-entry", "missing log entry", "adr and eadr"),
  bug("log-after-store", "log entry after the store", "adr and eadr"),
  bug("log-not-fenced", "log entry without a fence", "adr"),
  bug("log-count-before-entry", "log's count before its entry", "adr and eadr"),
  bug("log-truncated-early", "log truncated too early", "adr"),
  bug("half-open-section", "store outside of the failure-atomic section", "adr and eadr"),
  bug("double-recovery", "recovery that cannot be repeated", "adr and eadr"),
  bug("recovery-not-flushed", "recovery without a flush", "adr", 2),
  bug("unrecovered-lock", "unrecovered lock", "adr and eadr"),
  bug("leak", "leak", "adr and eadr"),
  bug("stale-pointer", "stale pointer after recovery", "adr and eadr"),
  bug("freed-too-early", "freed in a transaction of its own", "adr and eadr"),
  bug("stale-cursor", "volatile state not rebuilt", "adr and eadr", 2),
  bug("restart-refused", "program that cannot begin again", "adr and eadr"),
  bug("promise-before-durable", "told before it is durable", "adr"),
  withFiles("rename-without-fsync", "file rename without fsync"),
  withFiles("directory-not-synced", "file's name not flushed"),
  withFiles("two-directories", "one of two directories not flushed"),
  withFiles("names-out-of-order", "order of names not enforced"),
  withFiles("torn-append", "size before data in a file"),
  withFiles("journal-removed-early", "journal removed too early"),
  withFiles("overwrite-in-place", "file overwritten in place"),
];
