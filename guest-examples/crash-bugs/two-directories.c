// Directories not all synced (ALICE): a document and its index are made in two directories, of which the last alone is
// flushed. A journal for all directories hides it; POSIX, and btrfs, do not.
#include "crash-files.h"

static void sync_one(const char *path) {
  int directory = open(path, O_RDONLY | O_DIRECTORY);
  must(directory >= 0);
  must(fsync(directory) == 0);
  close(directory);
}

static int is_there(const char *path) {
  char found = 0;
  return read_file(path, &found, 1) == 1 && found == 'x';
}

int main(void) {
  mkdir("/documents", 0777);
  mkdir("/index", 0777);
  sync_one("/");
  if (!is_there("/documents/1")) write_file("/documents/1", O_TRUNC, "x", 1, 1);
  if (!BUGGY) sync_one("/documents");
  if (!is_there("/index/1")) write_file("/index/1", O_TRUNC, "x", 1, 1);
  sync_one("/index");
  vermilion_promise(1);
  return 0;
}

CHECKER { return promised == 1 && !(is_there("/documents/1") && is_there("/index/1")); }
