// zlib: text, records and noise, deflated at levels 1, 6 and 9 and inflated again. zlib <rounds>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "zlib.h"

#define LENGTH 600000

static unsigned char input[LENGTH], packed[LENGTH + LENGTH / 100 + 1000], output[LENGTH];

static void fill(uint32_t random) {
  static const char *const words[] = {"power ", "fails, ", "the ", "bird ", "burns ", "and ", "rises\n", "stored "};
  for (size_t at = 0; at < LENGTH;) {
    random = random * 1664525u + 1013904223u;
    if (at < LENGTH / 2) {
      for (const char *word = words[random >> 29]; *word != '\0' && at < LENGTH; word++) input[at++] = (unsigned char)*word;
    } else if (at < LENGTH * 4 / 5) {
      input[at] = (unsigned char)(at % 24 < 16 ? at % 24 : random >> 28), at++;
    } else {
      input[at++] = (unsigned char)(random >> 24);
    }
  }
}

int main(int argc, char **argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 5;
  uLong digest = adler32(0, Z_NULL, 0);
  for (int i = 0; i < rounds; i++) {
    static const int levels[] = {1, 6, 9};
    fill((uint32_t)i);
    uLongf packed_length = sizeof packed, length = sizeof output;
    if (compress2(packed, &packed_length, input, LENGTH, levels[i % 3]) != Z_OK) return 1;
    if (uncompress(output, &length, packed, packed_length) != Z_OK || length != LENGTH) return 1;
    if (memcmp(input, output, LENGTH) != 0) return 1;
    digest = adler32(digest, packed, (uInt)packed_length);
  }
  printf("%d: %08lx\n", rounds, digest);
  return 0;
}
