// Allocations of many sizes, freed and resized in random order, while linear memory grows.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 512

struct block {
  uint32_t byte_length, tag;
  uint8_t bytes[];
};

static struct block *blocks[SLOTS];
static uint32_t random_state = 88172645u;

static uint32_t next_random(void) {
  random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5;
  return random_state;
}

static void fill(struct block *block, uint32_t byte_length, uint32_t tag) {
  block->byte_length = byte_length;
  block->tag = tag;
  for (uint32_t i = 0; i < byte_length; i += 64) block->bytes[i] = (uint8_t)(tag + i / 64);
}

static void check(const struct block *block) {
  for (uint32_t i = 0; i < block->byte_length; i += 64) {
    if (block->bytes[i] != (uint8_t)(block->tag + i / 64)) {
      printf("block %u is damaged at byte %u\n", block->tag, i);
      exit(3);
    }
  }
}

int main(int argc, char **argv) {
  uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20000;
  uint64_t live = 0, refused = 0;
  for (uint32_t i = 1; i <= count; i++) {
    uint32_t slot = next_random() % SLOTS;
    // Larger and larger blocks, so that memory has to grow all the way.
    uint32_t byte_length = 1 + next_random() % (64 + (uint32_t)((uint64_t)i * 100000 / count));
    struct block *old = blocks[slot];
    if (old != NULL) check(old), live -= old->byte_length;
    if (next_random() % 4 == 0) {
      free(old);
      blocks[slot] = NULL;
    } else {
      struct block *block = realloc(old, sizeof *block + byte_length);
      if (block == NULL) {
        refused++;
        if (old != NULL) live += old->byte_length;
        continue;
      }
      fill(block, byte_length, i);
      blocks[slot] = block;
      live += byte_length;
    }
    if (i % (count / 5 + 1) == 0 || i == count) {
      printf("%u: %llu bytes live in %zu pages, %llu refused\n", i, (unsigned long long)live,
             (size_t)__builtin_wasm_memory_size(0), (unsigned long long)refused);
    }
  }
  return 0;
}
