// Overwritten in place (ALICE): the file is cut to nothing before its new content is there. Right: a new file, renamed.
#include "crash-files.h"

static uint32_t load(void) {
  uint32_t version = 0;
  ssize_t length = read_file("state", &version, sizeof version);
  return length == sizeof version || length < 0 ? version : 99;
}

int main(void) {
  for (uint32_t version = load() + 1; version <= 3; version++) {
    if (BUGGY) write_file("state", O_TRUNC, &version, sizeof version, 1);
    else {
      write_file("state.new", O_TRUNC, &version, sizeof version, 1);
      must(rename("state.new", "state") == 0);
    }
    sync_directory();
    vermilion_promise(version);
  }
  return 0;
}

CHECKER {
  uint32_t version = load();
  if (version > 3) return 1;
  return version < promised ? 2 : 0;
}
