// qsort and bsearch with comparators: the library calls back into the program through the table.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
  uint32_t key;
  char name[12];
};

static unsigned long comparisons;

static int by_key(const void *a, const void *b) {
  uint32_t left = ((const struct record *)a)->key, right = ((const struct record *)b)->key;
  comparisons++;
  return left < right ? -1 : left > right;
}

static int by_name(const void *a, const void *b) {
  comparisons++;
  return strcmp(((const struct record *)a)->name, ((const struct record *)b)->name);
}

int main(int argc, char **argv) {
  size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 60000;
  struct record *records = malloc(count * sizeof *records);
  if (records == NULL) return 1;
  uint32_t random = 12345;
  for (size_t i = 0; i < count; i++) {
    random ^= random << 13, random ^= random >> 17, random ^= random << 5;
    records[i].key = random;
    snprintf(records[i].name, sizeof records[i].name, "n%08x", random * 2654435761u);
  }
  int (*orders[])(const void *, const void *) = {by_key, by_name, by_key};
  for (size_t round = 0; round < 3; round++) {
    qsort(records, count, sizeof *records, orders[round]);
    uint32_t checksum = 0;
    for (size_t i = 0; i < count; i++) checksum = checksum * 31 + records[i].key;
    struct record *found = bsearch(&records[count / 3], records, count, sizeof *records, orders[round]);
    printf("round %zu: first %s, middle %s, checksum %08x, %lu comparisons, found %td\n", round, records[0].name,
           records[count / 2].name, checksum, comparisons, found - records);
  }
  return 0;
}
