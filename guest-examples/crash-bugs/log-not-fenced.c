// Log entry without a fence (PMTest): it is flushed, but the store that it protects may overtake it.
#include "crash.h"

PERSISTENT struct {
  uint32_t logged;
  LINE uint32_t old[2];
  LINE uint32_t left;
  LINE uint32_t right;
} pool;

static void recover(void) {
  vermilion_pmem(&pool, sizeof pool);
  if (!pool.logged) return;
  pool.left = pool.old[0];
  pool.right = pool.old[1];
  vermilion_clwb(&pool.left, 4);
  PERSIST(pool.right);
  pool.logged = 0;
  PERSIST(pool.logged);
}

static void step(void) {
  pool.old[0] = pool.left;
  pool.old[1] = pool.right;
  PERSIST(pool.old);
  pool.logged = 1;
  vermilion_clwb(&pool.logged, 4);
  if (!BUGGY) vermilion_sfence();
  pool.left++;
  pool.right++;
  vermilion_clwb(&pool.left, 4);
  PERSIST(pool.right);
  pool.logged = 0;
  PERSIST(pool.logged);
}

int main(void) {
  recover();
  while (pool.left < 4) {
    step();
    vermilion_promise(pool.left);
  }
  return 0;
}

CHECKER {
  recover();
  if (pool.left != pool.right) return 1;
  return pool.left < promised ? 2 : 0;
}
