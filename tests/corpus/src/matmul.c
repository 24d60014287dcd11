// Matrix product: three nested loops, doubles accumulated in locals.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int n = argc > 1 ? atoi(argv[1]) : 128, rounds = argc > 2 ? atoi(argv[2]) : 4;
  double *a = malloc(sizeof(double) * n * n), *b = malloc(sizeof(double) * n * n), *c = malloc(sizeof(double) * n * n);
  if (a == NULL || b == NULL || c == NULL) return 1;
  for (int i = 0; i < n * n; i++) a[i] = (i % 17) / 16.0 - 0.5, b[i] = (i % 13) / 12.0 - 0.5;
  for (int round = 1; round <= rounds; round++) {
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
        c[i * n + j] = sum;
      }
    }
    double trace = 0;
    for (int i = 0; i < n; i++) trace += c[i * n + i];
    printf("round %d: trace %.12g, corner %.12g\n", round, trace, c[n * n - 1]);
    for (int i = 0; i < n * n; i++) a[i] = c[i] / n;
  }
  return 0;
}
