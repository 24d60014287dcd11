// Log truncated too early (Jaaru, in PMDK): the log is emptied while what it protects is still in the cache.
#include "crash.h"

PERSISTENT struct {
  uint32_t logged; // 1: `old` is what to go back to
  LINE uint32_t old[2];
  LINE uint32_t left;
  LINE uint32_t right;
} pool;

static void clear_log(void) {
  pool.logged = 0;
  PERSIST(pool.logged);
}

static void recover(void) {
  vermilion_pmem(&pool, sizeof pool);
  if (!pool.logged) return;
  pool.left = pool.old[0];
  pool.right = pool.old[1];
  vermilion_clwb(&pool.left, 4);
  PERSIST(pool.right);
  clear_log();
}

static void step(void) {
  pool.old[0] = pool.left;
  pool.old[1] = pool.right;
  PERSIST(pool.old);
  pool.logged = 1;
  PERSIST(pool.logged);
  pool.left++;
  pool.right++;
  if (BUGGY) clear_log();
  vermilion_clwb(&pool.left, 4);
  PERSIST(pool.right);
  if (!BUGGY) clear_log();
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
