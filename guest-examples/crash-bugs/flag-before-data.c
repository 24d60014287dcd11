// Wrong order (Witcher): a record is marked valid before its fields are there.
#include "crash.h"

struct record {
  uint32_t valid;
  LINE uint32_t key;
  uint32_t value;
};

PERSISTENT struct record records[8];

static void put(struct record *record, uint32_t key) {
  if (BUGGY) {
    record->valid = 1;
    PERSIST(record->valid);
  }
  record->key = key;
  record->value = key * 7;
  persist(&record->key, 8);
  if (!BUGGY) {
    record->valid = 1;
    PERSIST(record->valid);
  }
}

int main(void) {
  vermilion_pmem(records, sizeof records);
  for (uint32_t i = 0; i < 4; i++) {
    if (!records[i].valid) put(&records[i], i + 10);
    vermilion_promise(i + 1);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(records, sizeof records);
  for (uint32_t i = 0; i < 8; i++) {
    if (records[i].valid && (records[i].key != i + 10 || records[i].value != records[i].key * 7)) return 1;
    if (i < promised && !records[i].valid) return 2;
  }
  return 0;
}
