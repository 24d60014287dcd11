// Double recovery (Jaaru, XFDetector): a redo log of differences is applied again if recovery itself is cut short. Right: it
// holds the results, which may be stored any number of times.
#include "crash.h"

PERSISTENT struct {
  uint32_t pending; // 1: the log is to be applied
  LINE uint32_t difference;
  uint32_t result;
  LINE uint32_t total;
} pool;

static void apply(void) {
  if (BUGGY) pool.total += pool.difference;
  else pool.total = pool.result;
  PERSIST(pool.total);
  pool.pending = 0;
  PERSIST(pool.pending);
}

static void recover(void) {
  vermilion_pmem(&pool, sizeof pool);
  if (pool.pending) apply();
}

int main(void) {
  recover();
  vermilion_promise(pool.total); // what recovery has finished is done, too
  while (pool.total < 40) {
    uint32_t next = pool.total + 10;
    pool.difference = 10;
    pool.result = next;
    persist(&pool.difference, 8);
    pool.pending = 1;
    PERSIST(pool.pending);
    apply();
    vermilion_promise(pool.total);
  }
  return 0;
}

CHECKER {
  recover();
  if (pool.total % 10 != 0 || pool.total > 40) return 1;
  if (pool.total > promised + 10) return 2; // only one step was under way
  return pool.total < promised ? 3 : 0;
}
