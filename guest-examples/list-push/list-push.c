// A linked list that outlives power failures. There is no persistence code here: no pool, no root object, no
// transaction, no flush. The list lives where `malloc` put it, and the loop goes on where it stopped.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
  uint32_t value;
  struct node *next;
};

static struct node *head;
static size_t length;

static void list_push(uint32_t value) {
  struct node *node = malloc(sizeof *node);
  if (node == NULL) {
    fprintf(stderr, "list-push: out of memory\n");
    exit(1);
  }
  node->value = value;
  node->next = head;
  head = node;
  length++;
}

static uint64_t list_sum(void) {
  uint64_t sum = 0;
  for (struct node *node = head; node != NULL; node = node->next) sum += node->value;
  return sum;
}

int main(int argc, char **argv) {
  uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
  uint32_t tenth = count < 10 ? 1 : count / 10;
  for (uint32_t value = 1; value <= count; value++) {
    list_push(value);
    if (value % tenth == 0) printf("pushed %zu, newest %u, sum %llu\n", length, head->value, (unsigned long long)list_sum());
  }
  return list_sum() == (uint64_t)count * (count + 1) / 2 ? 0 : 1;
}
