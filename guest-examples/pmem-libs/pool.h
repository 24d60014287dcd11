// A pool of persistent memory with an undo log: what transactions (undo-log.h) and failure-atomic sections
// (failure-atomic.h) stand on. Header only, for one thread.
//
//     pool     header | log | root and objects, handed out upwards
//     entry    number of the transaction, address, length, checksum | the bytes as they were before
//
// P1  A place is changed in a transaction only once an entry with its old bytes is durable (pool_log).
// P2  An entry counts if it has the number of the transaction under way and its checksum fits; so a torn one, or one of an
//     earlier transaction, ends the log, and one fence is enough for each entry.
// P3  A transaction ends when the next number is durable, one store of 8 bytes. What it changed is durable before (pool_commit).
// P4  Recovery puts the old bytes back, newest first, makes them durable, and only then ends the transaction: it may be cut
//     and begun again at any point.
#ifndef VERMILION_POOL_H
#define VERMILION_POOL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../vermilion.h"

#ifndef POOL_BYTES
#define POOL_BYTES 16384
#endif
#ifndef POOL_LOG_BYTES
#define POOL_LOG_BYTES 4096
#endif
// Ranges that one transaction may change or allocate.
#ifndef POOL_MOST_RANGES
#define POOL_MOST_RANGES 256
#endif

#define POOL_CLASSES 16
#define POOL_GRAIN 16

struct pool_entry {
  uint64_t transaction;
  uint32_t address, length;
  uint64_t checksum;
};

struct pool_header {
  uint64_t made;         // not 0 once the pool is whole
  uint64_t transaction;  // the one under way, or the next
  uint32_t top;          // offset of the first byte that was never handed out
  uint32_t root;         // offset of the program's root object; 0: none yet
  uint32_t free[POOL_CLASSES]; // offset of the first free object of (index + 1) * POOL_GRAIN bytes; 0: none
  _Alignas(64) unsigned char log[POOL_LOG_BYTES];
  _Alignas(64) unsigned char objects[];
};

static union {
  struct pool_header header;
  _Alignas(64) unsigned char bytes[POOL_BYTES];
} pool_memory;

static struct pool_header *const pool = &pool_memory.header;

// Volatile: of the transaction under way.
static struct {
  uint32_t log_length, range_count;
  struct {
    const void *start;
    size_t length;
  } ranges[POOL_MOST_RANGES];
} pool_now;

static void pool_persist(const void *start, size_t length) {
  vermilion_clwb(start, length);
  vermilion_sfence();
}

static uint64_t pool_checksum(const struct pool_entry *entry, const unsigned char *bytes) {
  uint64_t sum = 14695981039346656037u ^ entry->transaction; // FNV-1a
  sum = (sum ^ entry->address) * 1099511628211u;
  sum = (sum ^ entry->length) * 1099511628211u;
  for (uint32_t i = 0; i < entry->length; i++) sum = (sum ^ bytes[i]) * 1099511628211u;
  return sum;
}

static size_t pool_entry_bytes(uint32_t length) { return (sizeof(struct pool_entry) + length + 7) & ~(size_t)7; }

// The place is in this transaction: it is flushed at its end. Beyond the limit the program has a mistake.
static void pool_note(const void *start, size_t length) {
  if (pool_now.range_count == POOL_MOST_RANGES) __builtin_trap();
  pool_now.ranges[pool_now.range_count].start = start;
  pool_now.ranges[pool_now.range_count++].length = length;
}

// P1.
static void pool_log(const void *start, size_t length) {
  size_t bytes = pool_entry_bytes(length);
  if (pool_now.log_length + bytes > POOL_LOG_BYTES) __builtin_trap();
  struct pool_entry *entry = (struct pool_entry *)(pool->log + pool_now.log_length);
  memcpy(entry + 1, start, length);
  entry->transaction = pool->transaction;
  entry->address = (uint32_t)(uintptr_t)start;
  entry->length = length;
  entry->checksum = pool_checksum(entry, (const unsigned char *)start);
  pool_persist(entry, bytes);
  pool_now.log_length += bytes;
  pool_note(start, length);
}

static void pool_end(void) {
  pool->transaction++;
  pool_persist(&pool->transaction, sizeof pool->transaction);
  pool_now.log_length = pool_now.range_count = 0;
}

// P3.
static void pool_commit(void) {
  if (pool_now.range_count == 0) return;
  for (uint32_t i = 0; i < pool_now.range_count; i++) vermilion_clwb(pool_now.ranges[i].start, pool_now.ranges[i].length);
  vermilion_sfence();
  pool_end();
}

// P4: deeper entries first, since they are newer.
static void pool_undo(uint32_t at) {
  struct pool_entry *entry = (struct pool_entry *)(pool->log + at);
  if (at + sizeof *entry > POOL_LOG_BYTES || entry->transaction != pool->transaction) return;
  if (entry->length > POOL_LOG_BYTES || at + pool_entry_bytes(entry->length) > POOL_LOG_BYTES) return;
  unsigned char *bytes = (unsigned char *)(entry + 1);
  if (pool_checksum(entry, bytes) != entry->checksum) return;
  pool_undo(at + pool_entry_bytes(entry->length));
  memcpy((void *)(uintptr_t)entry->address, bytes, entry->length);
  vermilion_clwb((void *)(uintptr_t)entry->address, entry->length);
}

static void pool_abort(void) {
  pool_undo(0);
  vermilion_sfence();
  pool_end();
}

// Opens the pool, and undoes the transaction that a failure struck. Returns whether there was a pool before.
static int pool_open(void) {
  vermilion_pmem(&pool_memory, sizeof pool_memory);
  pool_now.log_length = pool_now.range_count = 0;
  if (pool->made != 0) {
    pool_abort();
    return 1;
  }
  pool->transaction = 1;
  pool->top = offsetof(struct pool_header, objects);
  pool->root = 0;
  memset(pool->free, 0, sizeof pool->free);
  pool_persist(pool, offsetof(struct pool_header, log));
  pool->made = 1; // only once the rest is there
  pool_persist(&pool->made, sizeof pool->made);
  return 0;
}

static void *pool_at(uint32_t offset) { return offset == 0 ? NULL : (unsigned char *)pool + offset; }
static uint32_t pool_offset(const void *object) {
  return object == NULL ? 0 : (uint32_t)((const unsigned char *)object - (const unsigned char *)pool);
}

// In a transaction: room for an object, or NULL. Its bytes need no log, since nothing refers to them yet.
static void *pool_alloc(size_t length) {
  uint32_t class = length == 0 ? 0 : (uint32_t)((length - 1) / POOL_GRAIN);
  if (class >= POOL_CLASSES) return NULL;
  void *object;
  if (pool->free[class] != 0) {
    object = pool_at(pool->free[class]);
    pool_log(&pool->free[class], sizeof pool->free[class]);
    pool_log(object, sizeof(uint32_t)); // an abort must find the list as it was
    pool->free[class] = *(uint32_t *)object;
  } else {
    uint32_t bytes = (class + 1) * POOL_GRAIN;
    if (pool->top + bytes > POOL_BYTES) return NULL;
    object = pool_at(pool->top);
    pool_log(&pool->top, sizeof pool->top);
    pool->top += bytes;
  }
  pool_note(object, length);
  return object;
}

// In a transaction.
static void pool_free(void *object, size_t length) {
  uint32_t class = (uint32_t)((length - 1) / POOL_GRAIN);
  pool_log(object, sizeof(uint32_t));
  *(uint32_t *)object = pool->free[class];
  pool_log(&pool->free[class], sizeof pool->free[class]);
  pool->free[class] = pool_offset(object);
}

#endif
