// Order of names not enforced (ALICE): the new generation is made and the old one removed, and the directory is flushed once, at
// the end. Nothing keeps the removal from reaching the disk first.
#include "crash-files.h"

static int generation(const char *path) {
  char found = 0;
  return read_file(path, &found, 1) == 1 && found == 'x';
}

int main(void) {
  if (!generation("/new")) {
    if (!generation("/old")) write_file("/old", O_TRUNC, "x", 1, 1);
    sync_directory();
    vermilion_promise(1);
    write_file("/new", O_TRUNC, "x", 1, 1);
  }
  if (!BUGGY) sync_directory();
  unlink("/old");
  sync_directory();
  vermilion_promise(1);
  return 0;
}

CHECKER { return promised == 1 && !generation("/old") && !generation("/new"); }
