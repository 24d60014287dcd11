// Size before data (ALICE, in memory): a log's length covers bytes that are not written yet.
#include "crash.h"

PERSISTENT struct {
  uint32_t length;
  LINE char bytes[256];
} text;

static void append(const char *word, uint32_t length) {
  uint32_t at = text.length;
  if (BUGGY) {
    text.length = at + length;
    PERSIST(text.length);
  }
  memcpy(text.bytes + at, word, length);
  persist(text.bytes + at, length);
  if (!BUGGY) {
    text.length = at + length;
    PERSIST(text.length);
  }
}

int main(void) {
  vermilion_pmem(&text, sizeof text);
  while (text.length < 100) {
    append("persistent", 10);
    vermilion_promise(text.length);
  }
  return 0;
}

CHECKER {
  vermilion_pmem(&text, sizeof text);
  for (uint32_t i = 0; i < text.length; i++) if (text.bytes[i] != "persistent"[i % 10]) return 1;
  return text.length < promised ? 2 : 0;
}
