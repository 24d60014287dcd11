// Count before entry (Witcher, in undo logs of key-value stores): recovery applies an entry that is not whole.
#include "crash.h"

struct entry {
  uint32_t index, old;
};

PERSISTENT struct {
  uint32_t count;
  LINE struct entry entries[4];
  LINE uint32_t values[2][16]; // two lines, always equal
} pool;

static void log_value(uint32_t index) {
  struct entry *entry = &pool.entries[pool.count];
  uint32_t *value = &pool.values[index][0];
  if (BUGGY) {
    pool.count++;
    PERSIST(pool.count);
  }
  entry->index = index;
  entry->old = *value;
  PERSIST(*entry);
  if (!BUGGY) {
    pool.count++;
    PERSIST(pool.count);
  }
}

static void recover(void) {
  vermilion_pmem(&pool, sizeof pool);
  for (uint32_t i = pool.count; i-- > 0;) {
    uint32_t *value = &pool.values[pool.entries[i].index][0];
    *value = pool.entries[i].old;
    PERSIST(*value);
  }
  pool.count = 0;
  PERSIST(pool.count);
}

static void step(void) {
  for (uint32_t index = 0; index < 2; index++) {
    log_value(index);
    pool.values[index][0] += 3;
    PERSIST(pool.values[index][0]);
  }
  pool.count = 0;
  PERSIST(pool.count);
}

int main(void) {
  recover();
  for (uint32_t i = pool.values[0][0] / 3; i < 3; i++) {
    step();
    vermilion_promise((i + 1) * 3);
  }
  return 0;
}

CHECKER {
  recover();
  if (pool.values[0][0] != pool.values[1][0]) return 1;
  return pool.values[0][0] < promised ? 2 : 0;
}
