// Leak (Witcher, Jaaru): an object is taken from the allocator durably, and lost before anything refers to it. Right: taking
// and referring are one transaction.
#include "crash.h"
#include "../pmem-libs/undo-log.h"

struct node {
  uint32_t value, next;
};

struct list {
  uint32_t head, length;
};

static struct list *list;

static void open_list(void) {
  pool_open();
  if (pool->root == 0) {
    tx_begin();
    struct list *fresh = tx_alloc(sizeof *fresh);
    *fresh = (struct list){0};
    TX_SET(pool->root, pool_offset(fresh));
    tx_commit();
  }
  list = pool_at(pool->root);
}

static void push(uint32_t value) {
  tx_begin();
  struct node *node = tx_alloc(sizeof *node);
  node->value = value;
  node->next = list->head;
  if (BUGGY) {
    tx_commit();
    tx_begin();
  }
  TX_SET(list->head, pool_offset(node));
  TX_SET(list->length, list->length + 1);
  tx_commit();
}

int main(void) {
  open_list();
  while (list->length < 3) {
    push(list->length + 1);
    vermilion_promise(list->length);
  }
  return 0;
}

// Everything that was handed out is the list or one of its nodes.
CHECKER {
  open_list();
  uint32_t nodes = 0;
  for (struct node *node = pool_at(list->head); node != NULL; node = pool_at(node->next)) nodes++;
  if (nodes != list->length || nodes < promised) return 1;
  uint32_t handed_out = (pool->top - (uint32_t)offsetof(struct pool_header, objects)) / POOL_GRAIN;
  return handed_out != nodes + 1 ? 2 : 0;
}
