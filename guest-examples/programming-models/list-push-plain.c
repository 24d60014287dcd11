// list_push, the first way: nothing at all. The list lives where malloc puts it. Under whole-process persistence no failure is
// ever seen; a program that begins again at main has lost it all.
#include "example.h"

struct node {
  uint32_t value;
  struct node *next;
};

static struct node *head;
static uint32_t length;

static void list_push(uint32_t value) {
  struct node *node = malloc(sizeof *node);
  node->value = value;
  node->next = head;
  head = node;
  length++;
}

int main(int argc, char **argv) {
  uint32_t count = count_from(argc, argv, 5);
  while (length < count) {
    list_push(length + 1);
    done(length);
  }
  return 0;
}

CHECKER {
  uint32_t nodes = 0;
  for (struct node *node = head; node != NULL; node = node->next) if (node->value != length - nodes++) return 1;
  if (nodes != length) return 2;
  return length < promised ? 3 : 0;
}
