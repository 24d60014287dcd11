// A copy taken for ordered: the flag is the last word of a structure that is copied at once, in one line. A copy's words come
// in any order.
#include "crash.h"

struct message {
  uint64_t words[7], valid;
};

PERSISTENT LINE struct message box;

int main(void) {
  vermilion_pmem(&box, sizeof box);
  struct message message = {.words = {1, 2, 3, 4, 5, 6, 7}, .valid = 1};
  size_t length = BUGGY ? sizeof box : offsetof(struct message, valid);
  if (!box.valid) {
    __asm__ volatile("local.get %0\nlocal.get %1\nlocal.get %2\nmemory.copy 0, 0" : : "r"(&box), "r"(&message), "r"(length) : "memory");
    PERSIST(box);
    if (!BUGGY) {
      box.valid = 1;
      PERSIST(box);
    }
  }
  vermilion_promise(1);
  return 0;
}

CHECKER {
  vermilion_pmem(&box, sizeof box);
  if (!box.valid) return promised != 0;
  for (uint64_t i = 0; i < 7; i++) if (box.words[i] != i + 1) return 2;
  return 0;
}
