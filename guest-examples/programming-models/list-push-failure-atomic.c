// list_push, the third way: a failure-atomic section. What is done under the lock happens whole or not at all; each store is
// logged where it is made, as a compiler would do it.
#include "../pmem-libs/failure-atomic.h"
#include "example.h"

struct node {
  uint32_t value;
  struct node *next;
};

struct list {
  struct node *head;
  uint32_t length;
};

static struct list *list;
static struct fase_lock lock;

static void open_list(void) {
  pool_open();
  if (pool->root == 0) {
    fase_lock(&lock);
    struct list *fresh = pool_alloc(sizeof *fresh);
    FASE_SET(fresh->head, NULL);
    FASE_SET(fresh->length, 0);
    FASE_SET(pool->root, pool_offset(fresh));
    fase_unlock(&lock);
  }
  list = pool_at(pool->root);
}

static void list_push(uint32_t value) {
  fase_lock(&lock);
  struct node *node = pool_alloc(sizeof *node);
  if (node == NULL) exit(1);
  FASE_SET(node->value, value);
  FASE_SET(node->next, list->head);
  FASE_SET(list->head, node);
  FASE_SET(list->length, list->length + 1);
  fase_unlock(&lock);
}

int main(int argc, char **argv) {
  uint32_t count = count_from(argc, argv, 5);
  open_list();
  while (list->length < count) {
    list_push(list->length + 1);
    done(list->length);
  }
  return 0;
}

CHECKER {
  open_list();
  uint32_t nodes = 0;
  for (struct node *node = list->head; node != NULL; node = node->next) {
    if (node->value != list->length - nodes++) return 1;
  }
  if (nodes != list->length) return 2;
  return list->length < promised ? 3 : 0;
}
