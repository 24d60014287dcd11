// An open-addressing hash map from strings to counts: inserts, look-ups, removals, growth.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  char *key;
  uint64_t value;
};

static struct entry *entries;
static size_t capacity, used;
static char tombstone;

static uint32_t hash(const char *key) {
  uint32_t h = 2166136261u;
  for (; *key != '\0'; key++) h = (h ^ (unsigned char)*key) * 16777619u;
  return h;
}

static struct entry *find(const char *key) {
  struct entry *free_entry = NULL;
  for (size_t i = hash(key) & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
    struct entry *entry = &entries[i];
    if (entry->key == NULL) return free_entry != NULL ? free_entry : entry;
    if (entry->key == &tombstone) {
      if (free_entry == NULL) free_entry = entry;
    } else if (strcmp(entry->key, key) == 0) {
      return entry;
    }
  }
}

static void grow(void) {
  struct entry *old = entries;
  size_t old_capacity = capacity;
  capacity = capacity == 0 ? 16 : capacity * 2;
  entries = calloc(capacity, sizeof *entries);
  if (entries == NULL) abort();
  used = 0;
  for (size_t i = 0; i < old_capacity; i++) {
    if (old[i].key != NULL && old[i].key != &tombstone) *find(old[i].key) = old[i], used++;
  }
  free(old);
}

static void add(const char *key, uint64_t value) {
  if ((used + 1) * 4 > capacity * 3) grow();
  struct entry *entry = find(key);
  if (entry->key == NULL || entry->key == &tombstone) {
    if (entry->key == NULL) used++;
    entry->key = strdup(key);
    entry->value = 0;
  }
  entry->value += value;
}

static void drop(const char *key) {
  struct entry *entry = find(key);
  if (entry->key == NULL || entry->key == &tombstone) return;
  free(entry->key);
  entry->key = &tombstone;
}

int main(int argc, char **argv) {
  uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 200000;
  uint32_t random = 1;
  char key[24];
  for (uint32_t i = 1; i <= count; i++) {
    random = random * 1664525u + 1013904223u;
    snprintf(key, sizeof key, "key-%u", (random >> 8) % (count / 3 + 1));
    if (i % 5 == 0) drop(key);
    else add(key, i);
    if (i % (count / 4 + 1) == 0 || i == count) {
      uint64_t sum = 0;
      size_t live = 0;
      for (size_t j = 0; j < capacity; j++) {
        if (entries[j].key != NULL && entries[j].key != &tombstone) live++, sum += entries[j].value;
      }
      printf("%u operations: %zu keys, sum %llu, capacity %zu\n", i, live, (unsigned long long)sum, capacity);
    }
  }
  return 0;
}
