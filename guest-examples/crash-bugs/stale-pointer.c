// Stale pointer after recovery (Witcher): persistent memory refers to volatile memory, which is another one after a failure.
#include <stdlib.h>

#include "crash.h"

PERSISTENT struct {
  uint32_t count;
  LINE const char *names[4];
  LINE char copies[4][16];
} pool;

static const char *const all[] = {"ant", "bee", "cat", "dog"};

static void add(const char *text) {
  uint32_t at = pool.count;
  char *copy = BUGGY ? malloc(16) : pool.copies[at];
  memcpy(copy, text, 4);
  if (!BUGGY) persist(copy, 4);
  pool.names[at] = copy;
  PERSIST(pool.names[at]);
  pool.count++;
  PERSIST(pool.count);
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  while (pool.count < 4) {
    add(all[pool.count]);
    vermilion_promise(pool.count);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  for (uint32_t i = 0; i < pool.count; i++) if (memcmp(pool.names[i], all[i], 4) != 0) return 1;
  return pool.count < promised ? 2 : 0;
}
