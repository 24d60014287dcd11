// Wrong order in a split (Witcher, Jaaru: FAST_FAIR): the full node is cut before the new one that takes its upper half is
// linked. Keys are lost.
#include "crash.h"

#define KEYS 4

struct node {
  uint32_t count, next;
  LINE uint32_t keys[KEYS];
};

PERSISTENT struct {
  uint32_t nodes; // in use
  LINE struct node node[8];
} pool;

static void split(struct node *full) {
  uint32_t index = pool.nodes;
  struct node *fresh = &pool.node[index];
  fresh->count = KEYS / 2;
  fresh->next = full->next;
  memcpy(fresh->keys, full->keys + KEYS / 2, KEYS / 2 * sizeof(uint32_t));
  PERSIST(*fresh);
  if (BUGGY) {
    full->count = KEYS / 2;
    PERSIST(full->count);
  }
  pool.nodes = index + 1;
  PERSIST(pool.nodes);
  full->next = index;
  PERSIST(full->next);
  if (!BUGGY) {
    full->count = KEYS / 2; // until then keys are in both nodes, which a reader can tell
    PERSIST(full->count);
  }
}

static struct node *last(void) {
  struct node *node = &pool.node[0];
  while (node->next != 0) node = &pool.node[node->next];
  return node;
}

static void recover(void) {
  vermilion_pmem(&pool, sizeof pool);
  if (pool.nodes == 0) {
    pool.nodes = 1;
    PERSIST(pool.nodes);
  }
  // A node that was filled and not linked is free again; keys that the next node has, too, are the next node's.
  uint32_t linked = 1;
  for (struct node *node = &pool.node[0]; node->next != 0; node = &pool.node[node->next], linked++) {
    if (node->keys[node->count - 1] < pool.node[node->next].keys[0]) continue;
    node->count = KEYS / 2;
    PERSIST(node->count);
  }
  pool.nodes = linked;
  PERSIST(pool.nodes);
}

static void insert(uint32_t key) {
  struct node *node = last();
  if (node->count == KEYS) {
    split(node);
    node = last();
  }
  node->keys[node->count] = key;
  PERSIST(node->keys);
  node->count++;
  PERSIST(node->count);
}

static uint32_t count(void) {
  uint32_t count = 0;
  for (struct node *node = &pool.node[0];; node = &pool.node[node->next]) {
    for (uint32_t i = 0; i < node->count; i++) if (node->keys[i] != ++count) return 0;
    if (node->next == 0) return count;
  }
}

int main(void) {
  recover();
  for (uint32_t key = count() + 1; key <= 9; key++) {
    insert(key);
    vermilion_promise(key);
  }
  return 0;
}

CHECKER {
  recover();
  return count() < promised ? 1 : 0;
}
