// list_push, the second way: a transaction with an undo log. Whatever is changed is said before.
#include "../pmem-libs/undo-log.h"
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

static void open_list(void) {
  pool_open();
  if (pool->root == 0) {
    tx_begin();
    struct list *fresh = tx_alloc(sizeof *fresh);
    *fresh = (struct list){NULL, 0};
    TX_SET(pool->root, pool_offset(fresh));
    tx_commit();
  }
  list = pool_at(pool->root);
}

static void list_push(uint32_t value) {
  tx_begin();
  struct node *node = tx_alloc(sizeof *node);
  if (node == NULL) exit(1);
  node->value = value;
  node->next = list->head;
  TX_SET(list->head, node);
#ifndef MISSING_LOG_ENTRY
  tx_add(&list->length, sizeof list->length);
#endif
  list->length++;
  tx_commit();
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
