#include "cache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What malloc needs besides, roughly. */
enum { ALLOCATION_OVERHEAD = 16 };

struct cache_statistics cache_statistics;

static struct item **buckets;
static size_t bucket_count; /* a power of two */
static struct item *newest, *oldest;
static uint64_t last_cas;
static int64_t current_time;
static int64_t flush_time; /* 0: none is due */

static uint32_t hash_of(const char *key, size_t length) {
  uint32_t hash = 2166136261u; /* FNV-1a, and a last mixing, because its low bits choose the bucket */
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)key[i]) * 16777619u;
  return (hash ^ hash >> 15) * 2246822519u;
}

static size_t footprint(size_t key_length, size_t value_length) {
  return sizeof(struct item) + key_length + value_length + 2 + ALLOCATION_OVERHEAD;
}

static struct item **bucket_of(uint32_t hash) { return &buckets[hash & (bucket_count - 1)]; }

void cache_begin(size_t limit) {
  cache_statistics.limit = limit;
  bucket_count = 1 << 12;
  buckets = calloc(bucket_count, sizeof *buckets);
  if (buckets == NULL) abort();
}

/* Without memory for more buckets the chains grow instead. */
static void grow(void) {
  size_t old_count = bucket_count;
  struct item **old = buckets, **new = calloc(old_count * 2, sizeof *new);
  if (new == NULL) return;
  buckets = new;
  bucket_count = old_count * 2;
  for (size_t i = 0; i < old_count; i++) {
    for (struct item *item = old[i], *next; item != NULL; item = next) {
      next = item->next_in_bucket;
      struct item **bucket = bucket_of(item->hash);
      item->next_in_bucket = *bucket;
      *bucket = item;
    }
  }
  free(old);
}

static void list_add(struct item *item) {
  item->newer = NULL;
  item->older = newest;
  if (newest != NULL) newest->newer = item;
  else oldest = item;
  newest = item;
}

static void list_remove(struct item *item) {
  if (item->newer != NULL) item->newer->older = item->older;
  else newest = item->older;
  if (item->older != NULL) item->older->newer = item->newer;
  else oldest = item->newer;
}

static bool has_expired(const struct item *item) { return item->expires != NEVER && item->expires <= current_time; }

/* As it is in the table, expired or not. */
static struct item *lookup(const char *key, size_t key_length, uint32_t hash) {
  for (struct item *item = *bucket_of(hash); item != NULL; item = item->next_in_bucket) {
    if (item->hash == hash && item->key_length == key_length && memcmp(item->bytes, key, key_length) == 0) return item;
  }
  return NULL;
}

struct item *cache_find(const char *key, size_t key_length) {
  struct item *item = lookup(key, key_length, hash_of(key, key_length));
  if (item == NULL) return NULL;
  if (has_expired(item)) {
    cache_remove(item);
    return NULL;
  }
  if (item != newest) {
    list_remove(item);
    list_add(item);
  }
  return item;
}

struct item *cache_allocate(const char *key, size_t key_length, uint32_t flags, int64_t expires, size_t value_length) {
  size_t bytes = footprint(key_length, value_length);
  if (bytes > cache_statistics.limit) return NULL;
  struct item *item = NULL;
  while (oldest != NULL && cache_statistics.used + bytes > cache_statistics.limit) {
    cache_statistics.evicted++;
    cache_remove(oldest);
  }
  while ((item = malloc(bytes - ALLOCATION_OVERHEAD)) == NULL && oldest != NULL) {
    cache_statistics.evicted++;
    cache_remove(oldest);
  }
  if (item == NULL) return NULL;
  cache_statistics.used += bytes;
  item->cas = 0;
  item->expires = expires;
  item->hash = hash_of(key, key_length);
  item->flags = flags;
  item->value_length = (uint32_t)value_length;
  item->key_length = (uint8_t)key_length;
  memcpy(item->bytes, key, key_length);
  memcpy(value_of(item) + value_length, "\r\n", 2);
  return item;
}

void cache_discard(struct item *item) {
  cache_statistics.used -= footprint(item->key_length, item->value_length);
  free(item);
}

void cache_put(struct item *item) {
  struct item *before = lookup(item->bytes, item->key_length, item->hash);
  if (before != NULL) cache_remove(before);
  struct item **bucket = bucket_of(item->hash);
  item->next_in_bucket = *bucket;
  *bucket = item;
  list_add(item);
  cache_changed(item);
  cache_statistics.stored++;
  if (++cache_statistics.items > bucket_count + bucket_count / 2) grow();
}

void cache_remove(struct item *item) {
  struct item **link = bucket_of(item->hash);
  while (*link != item) link = &(*link)->next_in_bucket;
  *link = item->next_in_bucket;
  list_remove(item);
  cache_statistics.items--;
  cache_discard(item);
}

void cache_changed(struct item *item) { item->cas = ++last_cas; }

void cache_flush(void) {
  flush_time = 0;
  while (oldest != NULL) cache_remove(oldest);
}

void cache_flush_at(int64_t when) { flush_time = when; }

void cache_tick(int64_t now) {
  current_time = now;
  if (flush_time != 0 && now >= flush_time) cache_flush();
}

int64_t cache_now(void) { return current_time; }
