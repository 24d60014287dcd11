// Log after store (PMTest): the transaction keeps the new value as the one to go back to.
#include "crash.h"
#include "../pmem-libs/undo-log.h"

struct pair {
  uint32_t first;
  LINE uint32_t second;
};

static struct pair *pair;

static void open_pair(void) {
  pool_open();
  if (pool->root == 0) {
    tx_begin();
    struct pair *fresh = tx_alloc(sizeof *fresh);
    *fresh = (struct pair){0};
    TX_SET(pool->root, pool_offset(fresh));
    tx_commit();
  }
  pair = pool_at(pool->root);
}

int main(void) {
  open_pair();
  while (pair->second < 3) {
    tx_begin();
    if (BUGGY) pair->first++;
    tx_add(&pair->first, sizeof pair->first);
    if (!BUGGY) pair->first++;
    TX_SET(pair->second, pair->second + 1);
    tx_commit();
    vermilion_promise(pair->second);
  }
  return 0;
}

CHECKER {
  open_pair();
  if (pair->first != pair->second) return 1;
  return pair->second < promised ? 2 : 0;
}
