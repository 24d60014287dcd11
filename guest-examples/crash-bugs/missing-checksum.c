// Torn log record: a length that is not 0 stands for a record that is whole, with one flush for both. Right: a checksum.
#include "crash.h"

struct record {
  uint32_t length, checksum;
  uint8_t bytes[120];
};

PERSISTENT struct record records[4];

static uint32_t checksum(const struct record *record) {
  uint32_t sum = 2166136261u ^ record->length;
  for (uint32_t i = 0; i < record->length && i < sizeof record->bytes; i++) sum = (sum ^ record->bytes[i]) * 16777619u;
  return sum;
}

static int is_whole(const struct record *record) {
  return record->length != 0 && (BUGGY || record->checksum == checksum(record));
}

static void append(struct record *record, uint8_t value) {
  record->length = 100;
  for (uint32_t i = 0; i < 100; i++) record->bytes[i] = value + i;
  record->checksum = checksum(record);
  PERSIST(*record);
}

int main(void) {
  vermilion_pmem(records, sizeof records);
  for (uint32_t i = 0; i < 4; i++) {
    if (!is_whole(&records[i])) append(&records[i], i + 1);
    vermilion_promise(i + 1);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(records, sizeof records);
  for (uint32_t i = 0; i < 4; i++) {
    if (!is_whole(&records[i])) return i < promised ? 1 : 0;
    for (uint32_t b = 0; b < 100; b++) if (records[i].bytes[b] != (uint8_t)(i + 1 + b)) return 2;
  }
  return 0;
}
