/*
 * Items by key: a hash table that grows, and a list by the time of their last use, from whose old end items are evicted when
 * the memory limit is reached. Nothing here knows of connections, and nothing of persistence.
 */
#ifndef CACHE_H
#define CACHE_H

#include <stddef.h>
#include <stdint.h>

enum { KEY_MAXIMUM = 250, VALUE_MAXIMUM = 1 << 20 };

/* An expiry that is long past. */
enum { NEVER = 0, LONG_PAST = 1 };

struct item {
  struct item *next_in_bucket;
  struct item *newer, *older;
  uint64_t cas;     /* another one after each change of the value; 0: not in the cache yet */
  int64_t expires;  /* in seconds since 1970, or NEVER */
  uint32_t hash;
  uint32_t flags;   /* the client's */
  uint32_t value_length;
  uint8_t key_length;
  char bytes[];     /* the key, the value, "\r\n" */
};

struct cache_statistics {
  size_t limit, used, items;
  uint64_t stored, evicted;
};

extern struct cache_statistics cache_statistics;

/* `limit`: bytes of all items together. */
void cache_begin(size_t limit);

/* Tells the time, in seconds since 1970; what has expired by then is not found any more. */
void cache_tick(int64_t now);
int64_t cache_now(void);

/* NULL: there is none. Counts as a use. */
struct item *cache_find(const char *key, size_t key_length);

/*
 * An item of the caller's, its value unset, for which others have been evicted if need be. NULL: it is too large. Goes back
 * by cache_put or cache_discard.
 */
struct item *cache_allocate(const char *key, size_t key_length, uint32_t flags, int64_t expires, size_t value_length);
void cache_discard(struct item *item);

/* Puts it in the place of the one with its key, if there is one, which is gone then. */
void cache_put(struct item *item);
void cache_remove(struct item *item);

/* Its value was changed in place. */
void cache_changed(struct item *item);

/* Removes everything, now or as soon as it is that late. */
void cache_flush(void);
void cache_flush_at(int64_t when);

static inline char *value_of(struct item *item) { return item->bytes + item->key_length; }

#endif
