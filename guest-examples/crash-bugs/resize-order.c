// Wrong order in a resize (Jaaru, Witcher: CCEH): the larger capacity is durable before the table that has it.
#include "crash.h"

PERSISTENT struct {
  uint64_t table_and_capacity; // index of the table above, capacity below: one store
  LINE uint32_t table;
  LINE uint32_t capacity;
  LINE uint32_t tables[2][16]; // key at key % capacity, for keys without collisions
} pool;

static uint32_t table(void) { return BUGGY ? pool.table : (uint32_t)(pool.table_and_capacity >> 32); }
static uint32_t capacity(void) { return BUGGY ? pool.capacity : (uint32_t)pool.table_and_capacity; }

static void publish(uint32_t which, uint32_t entries) {
  if (BUGGY) {
    pool.capacity = entries;
    PERSIST(pool.capacity);
    pool.table = which;
    PERSIST(pool.table);
  } else {
    pool.table_and_capacity = (uint64_t)which << 32 | entries;
    PERSIST(pool.table_and_capacity);
  }
}

static void resize(void) {
  uint32_t from = table(), entries = capacity();
  for (uint32_t i = 0; i < entries; i++) {
    uint32_t key = pool.tables[from][i];
    if (key != 0) pool.tables[!from][key % (2 * entries)] = key;
  }
  PERSIST(pool.tables[!from]);
  publish(!from, 2 * entries);
}

static int has(uint32_t key) { return pool.tables[table()][key % capacity()] == key; }

static void put(uint32_t key) {
  while (pool.tables[table()][key % capacity()] != 0) resize();
  uint32_t *place = &pool.tables[table()][key % capacity()];
  *place = key;
  PERSIST(*place);
}

int main(void) {
  vermilion_pmem(&pool, sizeof pool);
  if (capacity() == 0) publish(0, 2);
  for (uint32_t key = 1; key <= 3; key++) {
    if (!has(key)) put(key);
    vermilion_promise(key);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&pool, sizeof pool);
  if (capacity() == 0) return promised != 0;
  for (uint32_t key = 1; key <= promised; key++) if (!has(key)) return 2;
  return 0;
}
