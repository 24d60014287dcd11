// Missing flush (PMTest, Jaaru): an item is stored, and only the count that makes it valid is flushed.
#include "crash.h"

PERSISTENT struct {
  uint32_t count;
  LINE uint32_t items[32];
} pool;

static void append(uint32_t item) {
  pool.items[pool.count] = item;
  if (!BUGGY) PERSIST(pool.items[pool.count]);
  pool.count++;
  PERSIST(pool.count);
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  while (pool.count < 6) {
    append(pool.count + 1);
    vermilion_promise(pool.count);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  for (uint32_t i = 0; i < pool.count; i++) if (pool.items[i] != i + 1) return 1;
  return pool.count < promised ? 2 : 0;
}
