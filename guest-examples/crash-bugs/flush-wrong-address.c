// Flush of a wrong address (Jaaru): the pointer variable is flushed, not the object.
#include "crash.h"

PERSISTENT struct {
  uint32_t made;
  LINE uint64_t objects[4][8];
} pool;

static void make(uint64_t *object, uint64_t value) {
  for (int i = 0; i < 8; i++) object[i] = value;
  if (BUGGY) persist(&object, 64);
  else persist(object, 64);
  pool.made++;
  PERSIST(pool.made);
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  while (pool.made < 4) {
    make(pool.objects[pool.made], pool.made + 1);
    vermilion_promise(pool.made);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  for (uint32_t o = 0; o < pool.made; o++) for (int i = 0; i < 8; i++) if (pool.objects[o][i] != o + 1) return 1;
  return pool.made < promised ? 2 : 0;
}
