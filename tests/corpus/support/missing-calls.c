// What the C library of a WASI program does not have and Lua's standard library mentions: these fail when called.
#include <stdio.h>

int system(const char *command) { return command == NULL ? 0 : -1; }
FILE *tmpfile(void) { return NULL; }
char *tmpnam(char *name) {
  (void)name;
  return NULL;
}
