// A store outside of the section (Atlas's rule broken): one of two fields is changed before the lock is taken.
#include "crash.h"
#include "../pmem-libs/failure-atomic.h"

struct queue {
  uint32_t entered;
  LINE uint32_t left;
};

static struct queue *queue;
static struct fase_lock lock;

static void open_queue(void) {
  pool_open();
  if (pool->root == 0) {
    fase_lock(&lock);
    struct queue *fresh = pool_alloc(sizeof *fresh);
    *fresh = (struct queue){0};
    FASE_SET(pool->root, pool_offset(fresh));
    fase_unlock(&lock);
  }
  queue = pool_at(pool->root);
}

int main(void) {
  open_queue();
  while (queue->left < 3) {
    if (BUGGY) {
      queue->entered++;
      PERSIST(queue->entered);
    }
    fase_lock(&lock);
    if (!BUGGY) FASE_SET(queue->entered, queue->entered + 1);
    FASE_SET(queue->left, queue->left + 1);
    fase_unlock(&lock);
    vermilion_promise(queue->left);
  }
  return 0;
}

CHECKER {
  open_queue();
  if (queue->entered != queue->left) return 1;
  return queue->left < promised ? 2 : 0;
}
