// The program cannot begin again (XFDetector's failures behind recovery): it takes what it finds for a first start. Recovery and
// the state are right, and the service never comes back.
#include "crash.h"

PERSISTENT struct {
  LINE uint64_t made;
  LINE uint64_t count;
} pool;

static int make(void) {
  if (BUGGY && pool.made != 0) return 1; // "exists already"
  pool.made = 1;
  PERSIST(pool.made);
  return 0;
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  if (make() != 0) return 1;
  while (pool.count < 3) {
    pool.count++;
    PERSIST(pool.count);
    vermilion_promise((uint32_t)pool.count);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  return pool.count < promised;
}
