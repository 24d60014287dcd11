// Text: strings <search|words|base64|format|checksum> <repetitions>, over half a megabyte of generated prose.
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH 500000

static char text[LENGTH + 1], spare[LENGTH * 2];

static void write_prose(void) {
  static const char *const words[] = {"bird ", "that ", "burns ", "is ",    "the ",  "one ", "which ",
                                      "rises, ", "stored\n", "power ", "fails. ", "again ", "and "};
  uint32_t random = 7;
  for (size_t at = 0; at < LENGTH;) {
    random = random * 1664525u + 1013904223u;
    const char *word = words[(random >> 16) % (sizeof words / sizeof *words)];
    for (; *word != '\0' && at < LENGTH; word++) text[at++] = *word;
  }
}

static uint32_t search(void) {
  static const char *const needles[] = {"bird that burns", "rises, stored", "fails. fails. fails. fails.", "phoenix"};
  uint32_t found = 0;
  for (size_t i = 0; i < sizeof needles / sizeof *needles; i++)
    for (const char *at = text; (at = strstr(at, needles[i])) != NULL; at++) found++;
  return found;
}

static uint32_t words(void) {
  uint32_t digest = 0, hash = 5381;
  for (const char *at = text; *at != '\0'; at++) {
    if (isalpha((unsigned char)*at)) hash = hash * 33 + (uint32_t)toupper((unsigned char)*at);
    else digest += hash, hash = 5381;
  }
  return digest;
}

static uint32_t base64(void) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t length = 0;
  for (size_t i = 0; i + 2 < LENGTH; i += 3) {
    uint32_t three = (uint32_t)(unsigned char)text[i] << 16 | (uint32_t)(unsigned char)text[i + 1] << 8 |
                     (unsigned char)text[i + 2];
    for (int shift = 18; shift >= 0; shift -= 6) spare[length++] = digits[three >> shift & 63];
  }
  uint32_t digest = 0;
  for (size_t i = 0; i < length; i++) digest = digest * 31 + (unsigned char)spare[i];
  return digest;
}

static uint32_t format(void) {
  uint32_t digest = 0;
  for (int i = 0; i < 20000; i++) {
    int length = snprintf(spare, 80, "%08x %-12.*s|%5d%%", (uint32_t)i * 2654435761u, i % 12, text + i, i % 101);
    for (int j = 0; j < length; j++) digest = digest * 31 + (unsigned char)spare[j];
  }
  return digest;
}

static uint32_t checksum(void) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < LENGTH / 4; i++) {
    crc ^= (unsigned char)text[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
  }
  return ~crc;
}

int main(int argc, char **argv) {
  if (argc != 3) return fputs("strings: search, words, base64, format or checksum, and a count\n", stderr), 2;
  write_prose();
  uint32_t digest = 0;
  for (int n = atoi(argv[2]); n > 0; n--) {
    text[n % LENGTH] ^= 1; // no round may be moved out of the loop
    switch (argv[1][0]) {
      case 's': digest += search(); break;
      case 'w': digest += words(); break;
      case 'b': digest += base64(); break;
      case 'f': digest += format(); break;
      default: digest += checksum();
    }
  }
  printf("%s: %u\n", argv[1], digest);
  return 0;
}
