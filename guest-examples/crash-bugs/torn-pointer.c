// Torn pointer: a reference of eight bytes that lies across two words is stored at once, and arrives in halves.
#include "crash.h"

struct __attribute__((packed)) slot {
  uint32_t padding;
  uint64_t reference; // segment above, offset below
};

PERSISTENT struct {
  LINE struct slot packed; // the reference is at 4, across the words at 0 and 8
  LINE uint64_t aligned;
  LINE uint32_t segments[4][4];
} pool;

static uint64_t reference(void) { return BUGGY ? pool.packed.reference : pool.aligned; }

static void refer(uint32_t segment, uint32_t offset) {
  uint64_t value = (uint64_t)segment << 32 | offset;
  if (BUGGY) pool.packed.reference = value;
  else pool.aligned = value;
  if (BUGGY) PERSIST(pool.packed);
  else PERSIST(pool.aligned);
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  for (uint32_t i = (uint32_t)reference() + 1; i <= 3; i++) {
    refer(i, i); // segment and offset always agree
    vermilion_promise(i);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  uint32_t segment = (uint32_t)(reference() >> 32), offset = (uint32_t)reference();
  if (segment != offset) return 1;
  return segment < promised ? 2 : 0;
}
