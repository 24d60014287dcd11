/** Flags of Linux's calls on directories that node:fs does not name; the same on all architectures. */
export const AT_FDCWD = -100;
export const O_CLOEXEC = 0x80000;
export const O_PATH = 0x200000;
