// Flush of a wrong range (XFDetector): sizeof of the pointer, not of what it points to. Only the first line is flushed.
#include "crash.h"

struct message {
  uint32_t words[24];
};

PERSISTENT struct {
  uint32_t sent;
  LINE struct message messages[4];
} pool;

static void send(struct message *message, uint32_t seed) {
  for (uint32_t i = 0; i < 24; i++) message->words[i] = seed + i;
  persist(message, BUGGY ? sizeof message : sizeof *message);
  pool.sent++;
  PERSIST(pool.sent);
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  while (pool.sent < 4) {
    send(&pool.messages[pool.sent], pool.sent + 1);
    vermilion_promise(pool.sent);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  for (uint32_t m = 0; m < pool.sent; m++) {
    for (uint32_t i = 0; i < 24; i++) if (pool.messages[m].words[i] != m + 1 + i) return 1;
  }
  return pool.sent < promised ? 2 : 0;
}
