// Undo-log transactions, as persistent-memory libraries have them: the program says what it is about to change.
//
//     tx_begin();
//     struct node *node = tx_alloc(sizeof *node);
//     node->value = 7;
//     node->next = list->head;
//     tx_add(&list->head, sizeof list->head);   // before the store: forget this, and a failure tears the list
//     list->head = node;
//     tx_commit();
//
// After a failure pool_open() undoes what was not committed. Transactions nest: the outermost one commits.
#ifndef VERMILION_UNDO_LOG_H
#define VERMILION_UNDO_LOG_H

#include "pool.h"

static int tx_depth;

static void tx_begin(void) { tx_depth++; }

// Keeps the bytes as they are, for an undo. Before the first store into them in this transaction.
static void tx_add(const void *start, size_t length) { pool_log(start, length); }

static void *tx_alloc(size_t length) { return pool_alloc(length); }
static void tx_free(void *object, size_t length) { pool_free(object, length); }

static void tx_commit(void) {
  if (--tx_depth == 0) pool_commit();
}

// Undoes everything since the outermost tx_begin.
static void tx_abort(void) {
  tx_depth = 0;
  pool_abort();
}

#define TX_SET(place, value)            \
  do {                                  \
    tx_add(&(place), sizeof(place));    \
    (place) = (value);                  \
  } while (0)

#endif
