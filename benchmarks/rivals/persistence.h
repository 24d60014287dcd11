// One program, five ways to keep what it stores. What a way does not need expands to nothing, so the plain form is plain C.
//
//     REF(node)                a link to a struct node               AT(node, ref)   the struct, or NULL
//     NEW(node)                room for one, in a section            SAME(ref, ref)
//     BEGIN END                around what must happen whole
//     WILL_CHANGE(from, length)  before stores into what is already reachable: undo logs need it
//     STORE(place, value)      such a store: failure-atomic sections need it
//
// -DPMEMOBJ libpmemobj; -DUNDO_LOG and -DFAILURE_ATOMIC the guest libraries of guest-examples/pmem-libs; otherwise nothing.
#ifndef PERSISTENCE_H
#define PERSISTENCE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 65536

#ifdef PMEMOBJ

#include <libpmemobj.h>

typedef PMEMoid any_ref;
#define REF(type) any_ref
#define AT(type, ref) ((struct type *)pmemobj_direct(ref))
#define NOTHING OID_NULL
#define NEW(type) pmemobj_tx_alloc(sizeof(struct type), 1)
#define BEGIN TX_BEGIN(pool) {
#define END } TX_ONABORT { abort(); } TX_END
#define WILL_CHANGE(from, length) pmemobj_tx_add_range_direct(from, length)
#define STORE(place, value) ((place) = (value))

static PMEMobjpool *pool;

#else

#define REF(type) struct type *
#define AT(type, ref) (ref)
#define NOTHING NULL

#if defined UNDO_LOG || defined FAILURE_ATOMIC

#define POOL_BYTES (512u << 20)
#define POOL_LOG_BYTES 65536
#define POOL_MOST_RANGES 4096
#include "../../guest-examples/pmem-libs/failure-atomic.h"
#include "../../guest-examples/pmem-libs/undo-log.h"
#define NEW(type) ((struct type *)tx_alloc(sizeof(struct type)))

#endif

#if defined UNDO_LOG

#define BEGIN tx_begin();
#define END tx_commit();
#define WILL_CHANGE(from, length) tx_add(from, length)
#define STORE(place, value) ((place) = (value))

#elif defined FAILURE_ATOMIC

static struct fase_lock lock;
#define BEGIN fase_lock(&lock);
#define END fase_unlock(&lock);
#define WILL_CHANGE(from, length) ((void)0)
#define STORE(place, value) FASE_SET(place, value)

#else

#define NEW(type) ((struct type *)malloc(sizeof(struct type)))
#define BEGIN
#define END
#define WILL_CHANGE(from, length) ((void)0)
#define STORE(place, value) ((place) = (value))

#endif
#endif

struct item;
struct node;

// What everything hangs from.
struct root {
  REF(item) list;
  REF(node) tree;
  REF(item) buckets[BUCKETS];
};

#ifdef PMEMOBJ

static struct root *open_root(void) {
  const char *path = getenv("POOL");
  pool = path == NULL ? NULL : pmemobj_create(path, "rivals", (size_t)2 << 30, 0600);
  if (pool == NULL) return fprintf(stderr, "POOL: %s\n", pmemobj_errormsg()), exit(1), NULL;
  return pmemobj_direct(pmemobj_root(pool, sizeof(struct root)));
}

#elif defined UNDO_LOG || defined FAILURE_ATOMIC

static struct root *open_root(void) {
  static _Alignas(64) struct root root;
  vermilion_pmem(&root, sizeof root);
  pool_open();
  return &root;
}

#else

static struct root *open_root(void) {
  static struct root root;
  return &root;
}

#endif
#endif
