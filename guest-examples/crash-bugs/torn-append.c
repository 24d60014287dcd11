// Size before data (ALICE): the length of a log grows on the disk before its bytes are there, and zeros are taken for a record.
// Right: each record has a checksum, and the log ends where it does not fit.
#include "crash-files.h"

struct record {
  uint32_t value, checksum;
};

static uint32_t checksum(uint32_t value) { return (value ^ 0x9e3779b9u) * 16777619u; }

static uint32_t records(struct record *log) {
  ssize_t length = read_file("log", log, 16 * sizeof *log);
  uint32_t count = length < 0 ? 0 : (uint32_t)length / sizeof *log;
  if (BUGGY) return count;
  for (uint32_t i = 0; i < count; i++) if (log[i].checksum != checksum(log[i].value)) return i;
  return count;
}

int main(void) {
  struct record log[16];
  if (access("log", F_OK) != 0) {
    write_file("log", 0, "", 0, 1);
    sync_directory();
  }
  uint32_t count = records(log);
  must(truncate("log", count * sizeof *log) == 0); // what is behind is no record
  for (; count < 4; count++) {
    struct record record = {count + 1, checksum(count + 1)};
    write_file("log", O_APPEND, &record, sizeof record, 1);
    vermilion_promise(count + 1);
  }
  return 0;
}

CHECKER {
  struct record log[16];
  uint32_t count = records(log);
  for (uint32_t i = 0; i < count; i++) if (log[i].value != i + 1) return 1;
  return count < promised ? 2 : 0;
}
