// Rename without fsync (ALICE): a new version is written beside the old one and renamed over it, and the name is on the disk
// before the bytes.
#include "crash-files.h"

struct config {
  uint32_t version, twice;
};

static struct config load(void) {
  struct config config = {0};
  ssize_t length = read_file("config", &config, sizeof config);
  if (length >= 0 && length != sizeof config) config.twice = 1; // no version has this
  return config;
}

int main(void) {
  for (uint32_t version = load().version + 1; version <= 3; version++) {
    struct config config = {version, 2 * version};
    write_file("config.new", O_TRUNC, &config, sizeof config, !BUGGY);
    must(rename("config.new", "config") == 0);
    sync_directory();
    vermilion_promise(version);
  }
  return 0;
}

CHECKER {
  struct config config = load();
  if (config.twice != 2 * config.version) return 1;
  return config.version < promised ? 2 : 0;
}
