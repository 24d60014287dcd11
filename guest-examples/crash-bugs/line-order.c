// Same line taken for granted: data and flag are stored in order and flushed together, which is enough only if they share a
// line. Here the flag is one word further on.
#include "crash.h"

struct cell {
#ifdef BUG
  uint64_t data[8], flag; // the flag begins the next line
#else
  uint64_t data[7], flag;
#endif
};

PERSISTENT struct {
  LINE struct cell cell;
} pool;

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  volatile struct cell *cell = &pool.cell;
  if (!cell->flag) {
    for (int i = 0; i < 7; i++) cell->data[i] = 42;
    cell->flag = 1;
    PERSIST(pool.cell);
  }
  vermilion_promise(1);
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  if (promised && !pool.cell.flag) return 1;
  for (int i = 0; i < 7; i++) if (pool.cell.flag && pool.cell.data[i] != 42) return 2;
  return 0;
}
