// Flush of a part (PMTest): a record that wraps around the end of a ring is flushed up to the end only.
#include "crash.h"

#define RING 128

PERSISTENT struct {
  uint32_t head; // bytes ever written
  LINE uint8_t ring[RING];
} pool;

static void write_record(uint8_t value) {
  uint32_t at = pool.head % RING, length = 48;
  for (uint32_t i = 0; i < length; i++) pool.ring[(at + i) % RING] = value;
  uint32_t until_end = at + length > RING ? RING - at : length;
  vermilion_clwb(pool.ring + at, until_end);
  if (!BUGGY) vermilion_clwb(pool.ring, length - until_end);
  vermilion_sfence();
  pool.head += length;
  PERSIST(pool.head);
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  while (pool.head < 48 * 6) {
    write_record((uint8_t)(pool.head / 48 + 1));
    vermilion_promise(pool.head);
  }
  return 0;
}

// The newest record is whole.
CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  if (pool.head % 48 != 0) return 1;
  for (uint32_t i = pool.head < 48 ? pool.head : pool.head - 48; i < pool.head; i++) {
    if (pool.ring[i % RING] != pool.head / 48) return 2;
  }
  return pool.head < promised ? 3 : 0;
}
