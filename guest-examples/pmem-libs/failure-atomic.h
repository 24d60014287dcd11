// Failure-atomic sections: what a program does while it holds a lock happens whole or not at all.
//
//     static struct fase_lock lock;
//     fase_lock(&lock);
//     FASE_SET(list->head, node);
//     fase_unlock(&lock);
//
// The outermost lock begins a section, and its release ends it. Each store is logged where it is made, so that none can be
// forgotten as long as all go through FASE_SET: compilers that do this for every store need no macro. Locks are volatile: a
// failure releases them, after which pool_open() undoes the section.
#ifndef VERMILION_FAILURE_ATOMIC_H
#define VERMILION_FAILURE_ATOMIC_H

#include "pool.h"

struct fase_lock {
  int held;
};

static int fase_locks_held;

static void fase_lock(struct fase_lock *lock) {
  if (lock->held) __builtin_trap(); // one thread: nobody would ever release it
  lock->held = 1;
  fase_locks_held++;
}

static void fase_unlock(struct fase_lock *lock) {
  if (!lock->held) __builtin_trap();
  lock->held = 0;
  if (--fase_locks_held == 0) pool_commit();
}

#define FASE_SET(place, value)           \
  do {                                   \
    if (fase_locks_held == 0) __builtin_trap(); \
    pool_log(&(place), sizeof(place));   \
    (place) = (value);                   \
  } while (0)

#endif
