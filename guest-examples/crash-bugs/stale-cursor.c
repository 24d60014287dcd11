// Volatile state not rebuilt (Jaaru: the program goes on with what it never restored): where to append is kept in ordinary
// memory and taken from the head only in the first run. Recovery finds nothing wrong; the program, begun again, writes over
// what was promised.
#include "crash.h"

struct record {
  uint32_t value, sum;
};

PERSISTENT struct {
  LINE uint32_t head;
  LINE struct record records[16];
} pool;

static uint32_t cursor;

static uint32_t sum_of(uint32_t value) { return value ^ 0x5a5a; }

static void append(uint32_t value) {
  pool.records[cursor].value = value;
  pool.records[cursor].sum = sum_of(value);
  PERSIST(pool.records[cursor]);
  cursor++;
  pool.head = cursor;
  PERSIST(pool.head);
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  if (!BUGGY) cursor = pool.head;
  while (cursor < 4) {
    append(cursor + 100);
    vermilion_promise(cursor);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  for (uint32_t i = 0; i < pool.head; i++) {
    if (pool.records[i].sum != sum_of(pool.records[i].value)) return 1;
  }
  return pool.head < promised ? 2 : 0;
}
