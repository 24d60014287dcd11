// A filter: numbered, reversed lines of standard input; what is read and not yet used lives in stdio's buffer.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
  char line[256];
  unsigned number = 0, digest = 0;
  while (fgets(line, sizeof line, stdin) != NULL) {
    size_t length = strcspn(line, "\n");
    for (size_t i = 0; i < length / 2; i++) {
      char c = line[i];
      line[i] = line[length - 1 - i], line[length - 1 - i] = c;
    }
    line[length] = '\0';
    for (int round = 0; round < 200; round++) {
      for (size_t i = 0; i < length; i++) digest = digest * 31 + (unsigned char)line[i];
    }
    printf("%u\t%s\n", ++number, line);
  }
  printf("%u lines, digest %08x\n", number, digest);
  return 7;
}
