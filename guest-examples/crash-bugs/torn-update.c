// Torn multi-word update (Witcher): start and end are changed in place, in one line and with one flush, but in two stores.
// Right: two copies, and one store that says which counts.
#include "crash.h"

struct interval {
  uint64_t start, end;
};

PERSISTENT struct {
  uint32_t current;
  LINE struct interval intervals[2];
} pool;

static void move(uint64_t start) {
  uint32_t target = BUGGY ? pool.current : !pool.current;
  volatile struct interval *interval = &pool.intervals[target];
  interval->start = start;
  interval->end = start + 100;
  PERSIST(pool.intervals[target]);
  pool.current = target;
  PERSIST(pool.current);
}

static struct interval *now(void) { return &pool.intervals[pool.current]; }

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  while (now()->start < 5) {
    move(now()->start + 1);
    vermilion_promise((uint32_t)now()->start);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  if (now()->start < promised) return 1;
  return now()->start != 0 && now()->end != now()->start + 100;
}
