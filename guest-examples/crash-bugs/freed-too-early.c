// Freed too early (Witcher): a node is given back in a transaction of its own, before the one that unlinks it. A failure between
// the two leaves the list at a node that the allocator hands out again.
#include "crash.h"
#include "../pmem-libs/undo-log.h"

struct node {
  uint32_t value, next;
};

struct queue {
  uint32_t head, tail, served;
};

static struct queue *queue;

static void open_queue(void) {
  pool_open();
  if (pool->root == 0) {
    tx_begin();
    struct queue *fresh = tx_alloc(sizeof *fresh);
    *fresh = (struct queue){0};
    TX_SET(pool->root, pool_offset(fresh));
    tx_commit();
  }
  queue = pool_at(pool->root);
}

static void enter(uint32_t value) {
  tx_begin();
  struct node *node = tx_alloc(sizeof *node);
  node->value = value;
  node->next = 0;
  if (queue->head == 0) TX_SET(queue->head, pool_offset(node));
  else TX_SET(((struct node *)pool_at(queue->tail))->next, pool_offset(node));
  TX_SET(queue->tail, pool_offset(node));
  tx_commit();
}

static void serve(void) {
  struct node *node = pool_at(queue->head);
  tx_begin();
  uint32_t next = node->next;
  if (BUGGY) {
    tx_free(node, sizeof *node);
    tx_commit();
    tx_begin();
  }
  TX_SET(queue->head, next);
  TX_SET(queue->served, queue->served + 1);
  if (!BUGGY) tx_free(node, sizeof *node);
  tx_commit();
}

static uint32_t waiting(void) {
  uint32_t count = 0;
  for (struct node *node = pool_at(queue->head); node != NULL && count < 8; node = pool_at(node->next)) count++;
  return count;
}

int main(void) {
  open_queue();
  // Three wait, first come, first served, until five were served.
  for (;;) {
    while (waiting() < 3 && queue->served + waiting() < 5) enter(queue->served + waiting() + 1);
    if (waiting() == 0) return 0;
    serve();
    vermilion_promise(queue->served);
  }
}

CHECKER {
  open_queue();
  if (queue->served < promised) return 1;
  uint32_t expected = queue->served;
  for (struct node *node = pool_at(queue->head); node != NULL; node = pool_at(node->next)) {
    if (++expected > 5 || node->value != expected) return 2;
  }
  // What is free is not in the queue.
  for (uint32_t at = pool->free[0]; at != 0; at = *(uint32_t *)pool_at(at)) {
    for (struct node *node = pool_at(queue->head); node != NULL; node = pool_at(node->next)) {
      if (pool_offset(node) == at) return 3;
    }
  }
  return 0;
}
