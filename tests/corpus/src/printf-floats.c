// printf and strtod over many formats, values and precisions: long arithmetic inside the library, deep in one call.
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 400;
  const char *formats[] = {"%.17g", "%.3f", "%20.10e", "%a", "%-12.4g|", "%+.0f", "%#.6g", "%.40g"};
  double fixed[] = {0.0, -0.0, 1.0 / 3, DBL_MAX, DBL_MIN, DBL_TRUE_MIN, INFINITY, -INFINITY, 1e22, 123456789.125};
  unsigned checksum = 0;
  char text[512];
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
      snprintf(text, sizeof text, formats[f], fixed[i]);
      printf("%s%s", f == 0 ? "" : " ", strlen(text) > 60 ? "long" : text);
      for (char *c = text; *c != '\0'; c++) checksum = checksum * 31 + (unsigned char)*c;
    }
    printf("\n");
  }
  double value = 1.0;
  for (int i = 0; i < count; i++) {
    value = value * 1.37 + sin(i) * pow(10, i % 40 - 20);
    if (value > 1e200) value = 1 / value;
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
      snprintf(text, sizeof text, formats[f], value);
      for (char *c = text; *c != '\0'; c++) checksum = checksum * 31 + (unsigned char)*c;
    }
    snprintf(text, sizeof text, "%.17g", value);
    if (strtod(text, NULL) != value) printf("%s does not round-trip\n", text);
    if (i % (count / 4 + 1) == 0) printf("%d: %.12g, checksum %08x\n", i, value, checksum);
  }
  printf("checksum %08x\n", checksum);
  return 0;
}
