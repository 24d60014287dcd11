// list_push, the fourth way: by hand, with flushes and fences, and no log. It works because one store of eight bytes, the list's
// head, makes a node and the new length visible at once. With one of these defined it is wrong on purpose:
//
//     MISSING_FLUSH       the node is not flushed
//     FLUSH_BEFORE_STORE  it is, before it is written
//     TORN_POINTER        the head lies across two words
//     SIZE_BEFORE_DATA    a length of its own is raised first
#include "example.h"

#define MOST 256

struct node {
  uint32_t value;
  uint32_t next; // by index, from 1; 0: the end
};

struct __attribute__((packed)) list {
#ifdef TORN_POINTER
  uint32_t length;
#else
  uint64_t length; // used by SIZE_BEFORE_DATA only
#endif
  uint64_t head; // index above, length of the list below
};

static _Alignas(64) struct {
  struct list list;
  _Alignas(64) struct node nodes[MOST + 1];
} memory;

static uint32_t head(void) { return (uint32_t)(memory.list.head >> 32); }

static uint32_t length(void) {
#ifdef SIZE_BEFORE_DATA
  return (uint32_t)memory.list.length;
#else
  return (uint32_t)memory.list.head;
#endif
}

static void persist(const void *start, size_t bytes) {
  vermilion_clwb(start, bytes);
  vermilion_sfence();
}

static void list_push(uint32_t value) {
  uint32_t index = length() + 1, before = head();
  if (index > MOST) exit(1);
  struct node *node = &memory.nodes[index];
#ifdef SIZE_BEFORE_DATA
  memory.list.length = index;
  persist(&memory.list, sizeof memory.list);
#endif
#ifdef FLUSH_BEFORE_STORE
  persist(node, sizeof *node);
#endif
  node->value = value;
  node->next = before;
#if !defined MISSING_FLUSH && !defined FLUSH_BEFORE_STORE
  persist(node, sizeof *node);
#endif
  memory.list.head = (uint64_t)index << 32 | index;
  persist(&memory.list, sizeof memory.list);
}

int main(int argc, char **argv) {
  uint32_t count = count_from(argc, argv, 5);
  vermilion_pmem(&memory, sizeof memory);
  while (length() < count) {
    list_push(length() + 1);
    done(length());
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&memory, sizeof memory);
  uint32_t nodes = 0;
  for (uint32_t at = head(); at != 0; at = memory.nodes[at].next) {
    if (nodes == MOST || memory.nodes[at].value != length() - nodes++) return 1;
  }
  if (nodes != length()) return 2;
  return length() < promised ? 3 : 0;
}
