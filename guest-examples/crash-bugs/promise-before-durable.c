// Told too early (Witcher: a durability bug): a client hears that its value is stored while it is in the cache.
#include "crash.h"

PERSISTENT uint64_t value;

int main(void) {
  vermilion_pmem(&value, sizeof value);
  while (value < 4) {
    value++;
    if (BUGGY) vermilion_promise((uint32_t)value);
    PERSIST(value);
    if (!BUGGY) vermilion_promise((uint32_t)value);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&value, sizeof value);
  return value < promised ? 1 : 0;
}
