// Root before leaf (Jaaru, in copy-on-write trees): the root is turned to a copy of which one node is not durable.
#include "crash.h"

struct leaf {
  LINE uint32_t values[4];
};

struct tree {
  LINE struct leaf leaves[2];
};

PERSISTENT struct {
  uint32_t root;
  LINE struct tree trees[2];
} pool;

// Adds one to a value of the left leaf and to one of the right.
static void add(uint32_t index) {
  struct tree *now = &pool.trees[pool.root], *next = &pool.trees[!pool.root];
  *next = *now;
  next->leaves[0].values[index]++;
  next->leaves[1].values[index]++;
  PERSIST(next->leaves[0]);
  if (!BUGGY) PERSIST(next->leaves[1]);
  pool.root = !pool.root;
  PERSIST(pool.root);
}

static uint32_t sum(uint32_t leaf) {
  const uint32_t *values = pool.trees[pool.root].leaves[leaf].values;
  return values[0] + values[1] + values[2] + values[3];
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  for (uint32_t i = sum(0); i < 5; i++) {
    add(i % 4);
    vermilion_promise(i + 1);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  if (sum(0) != sum(1)) return 1;
  return sum(0) < promised ? 2 : 0;
}
