/**
 * Flags, types and layouts of WASI preview1.
 * https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
 */

/** Thirty bits, so a plain number holds them; the guest passes and sees 64. */
export const Rights = {
  FD_DATASYNC: 1 << 0,
  FD_READ: 1 << 1,
  FD_SEEK: 1 << 2,
  FD_FDSTAT_SET_FLAGS: 1 << 3,
  FD_SYNC: 1 << 4,
  FD_TELL: 1 << 5,
  FD_WRITE: 1 << 6,
  FD_ADVISE: 1 << 7,
  FD_ALLOCATE: 1 << 8,
  PATH_CREATE_DIRECTORY: 1 << 9,
  PATH_CREATE_FILE: 1 << 10,
  PATH_LINK_SOURCE: 1 << 11,
  PATH_LINK_TARGET: 1 << 12,
  PATH_OPEN: 1 << 13,
  FD_READDIR: 1 << 14,
  PATH_READLINK: 1 << 15,
  PATH_RENAME_SOURCE: 1 << 16,
  PATH_RENAME_TARGET: 1 << 17,
  PATH_FILESTAT_GET: 1 << 18,
  PATH_FILESTAT_SET_SIZE: 1 << 19,
  PATH_FILESTAT_SET_TIMES: 1 << 20,
  FD_FILESTAT_GET: 1 << 21,
  FD_FILESTAT_SET_SIZE: 1 << 22,
  FD_FILESTAT_SET_TIMES: 1 << 23,
  PATH_SYMLINK: 1 << 24,
  PATH_REMOVE_DIRECTORY: 1 << 25,
  PATH_UNLINK_FILE: 1 << 26,
  POLL_FD_READWRITE: 1 << 27,
  SOCK_SHUTDOWN: 1 << 28,
  SOCK_ACCEPT: 1 << 29,
} as const;

export const RIGHTS_ALL = 0x3fffffff;

/** What a directory can never do is no right of it: docs/rationale.md#rights. */
export const RIGHTS_DIRECTORY =
  RIGHTS_ALL &
  ~(Rights.FD_SEEK | Rights.FD_TELL | Rights.FD_WRITE | Rights.FD_ALLOCATE | Rights.FD_FILESTAT_SET_SIZE) &
  ~(Rights.SOCK_SHUTDOWN | Rights.SOCK_ACCEPT);

/** A preopened directory does not say FD_READ: several guests take a descriptor with that right for a file. */
export const RIGHTS_PREOPEN = RIGHTS_DIRECTORY & ~Rights.FD_READ;

export const Fdflags = { APPEND: 1, DSYNC: 2, NONBLOCK: 4, RSYNC: 8, SYNC: 16 } as const;
export const FDFLAGS_ALL = 31;

export const Filetype = {
  UNKNOWN: 0,
  BLOCK_DEVICE: 1,
  CHARACTER_DEVICE: 2,
  DIRECTORY: 3,
  REGULAR_FILE: 4,
  SOCKET_DGRAM: 5,
  SOCKET_STREAM: 6,
  SYMBOLIC_LINK: 7,
} as const;

export const Oflags = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 } as const;
export const OFLAGS_ALL = 15;
export const LOOKUP_SYMLINK_FOLLOW = 1;
export const Fstflags = { ATIM: 1, ATIM_NOW: 2, MTIM: 4, MTIM_NOW: 8 } as const;
export const FSTFLAGS_ALL = 15;
export const Clockid = { REALTIME: 0, MONOTONIC: 1, PROCESS_CPUTIME: 2, THREAD_CPUTIME: 3 } as const;
export const Eventtype = { CLOCK: 0, FD_READ: 1, FD_WRITE: 2 } as const;
export const EVENTRWFLAGS_HANGUP = 1;
export const SUBCLOCK_ABSTIME = 1;
export const Sdflags = { RD: 1, WR: 2 } as const;
export const Riflags = { PEEK: 1, WAITALL: 2 } as const;
export const ROFLAGS_DATA_TRUNCATED = 1;

/** S_IFMT of a file mode -> filetype; a pipe has none in preview1. */
export function filetypeOfMode(mode: number): number {
  switch (mode & 0o170000) {
    case 0o100000:
      return Filetype.REGULAR_FILE;
    case 0o040000:
      return Filetype.DIRECTORY;
    case 0o120000:
      return Filetype.SYMBOLIC_LINK;
    case 0o020000:
      return Filetype.CHARACTER_DEVICE;
    case 0o060000:
      return Filetype.BLOCK_DEVICE;
    case 0o140000:
      return Filetype.SOCKET_STREAM;
    default:
      return Filetype.UNKNOWN;
  }
}

/** DT_* of getdents64 -> filetype; undefined: the file system does not say. */
export function filetypeOfDirent(type: number): number | undefined {
  return type === 0 ? undefined : filetypeOfMode(type << 12);
}
