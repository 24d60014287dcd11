// Unrecovered lock (Witcher, P-CLHT): a lock lies in persistent memory, and a failure leaves it held for ever.
#include "crash.h"

PERSISTENT struct {
  uint32_t locked;
  LINE uint32_t value;
} pool;

static int lock(void) {
  if (pool.locked) return 0; // a waiting thread would wait for ever
  pool.locked = 1;
  PERSIST(pool.locked);
  return 1;
}

static void unlock(void) {
  pool.locked = 0;
  PERSIST(pool.locked);
}

static void recover(void) {
  vermilion_pmem(&pool, sizeof pool);
  if (!BUGGY) unlock();
}

int main(void) {
  recover();
  while (pool.value < 3) {
    if (!lock()) return 1;
    pool.value++;
    PERSIST(pool.value);
    unlock();
    vermilion_promise(pool.value);
  }
  return 0;
}

CHECKER {
  recover();
  if (!lock()) return 1;
  unlock();
  return pool.value < promised ? 2 : 0;
}
