// Freed before it is unlinked (Witcher): a failure between the two leaves a node in the list and in the free list.
#include "crash.h"

#define NODES 6

// Next node by index, 1 to NODES; 0: the end.
PERSISTENT struct {
  uint32_t head;
  LINE uint32_t free;
  LINE uint32_t next[NODES + 1][16];
} pool;

static void store(uint32_t *place, uint32_t value) {
  *place = value;
  persist(place, sizeof *place);
}

static void pop(void) {
  uint32_t node = pool.head;
  uint32_t rest = pool.next[node][0];
  if (BUGGY) {
    // The word that links the node is the one that the free list needs: the list behind it is lost, too.
    store(&pool.next[node][0], pool.free);
    store(&pool.free, node);
    store(&pool.head, rest);
  } else {
    store(&pool.head, rest); // a failure behind this leaks the node, which recovery collects
    store(&pool.next[node][0], pool.free);
    store(&pool.free, node);
  }
}

static uint32_t length_of(uint32_t first) {
  uint32_t length = 0;
  for (uint32_t node = first; node != 0 && length <= NODES; node = pool.next[node][0]) length++;
  return length;
}

// Nodes in neither list go to the free one.
static void recover(void) {
  if (!vermilion_pmem(&pool, sizeof pool) || pool.next[0][0] == 0) {
    for (uint32_t i = 1; i <= NODES; i++) pool.next[i][0] = i == NODES ? 0 : i + 1;
    persist(pool.next, sizeof pool.next);
    store(&pool.head, 1);
    store(&pool.next[0][0], 1); // made
  }
  uint32_t reached = 0;
  for (uint32_t node = pool.head, n = 0; node != 0 && n <= NODES; node = pool.next[node][0], n++) reached |= 1u << node;
  for (uint32_t node = pool.free, n = 0; node != 0 && n <= NODES; node = pool.next[node][0], n++) reached |= 1u << node;
  for (uint32_t node = 1; node <= NODES; node++) {
    if (reached & 1u << node) continue;
    store(&pool.next[node][0], pool.free);
    store(&pool.free, node);
  }
}

int main(void) {
  recover();
  while (length_of(pool.head) > 2) {
    pop();
    vermilion_promise(NODES - length_of(pool.head));
  }
  return 0;
}

CHECKER {
  recover();
  uint32_t used = length_of(pool.head), unused = length_of(pool.free);
  if (used + unused != NODES) return 1;
  if (used < 2) return 2;
  return unused < promised ? 3 : 0;
}
