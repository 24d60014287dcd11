// Sorting without callbacks: sorts <quick|merge|heap|radix> <count>, in each of eight rounds.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void insertion(uint32_t *data, size_t count) {
  for (size_t i = 1; i < count; i++) {
    uint32_t value = data[i];
    size_t j = i;
    for (; j > 0 && data[j - 1] > value; j--) data[j] = data[j - 1];
    data[j] = value;
  }
}

static void quick(uint32_t *data, size_t count) {
  if (count < 24) return insertion(data, count);
  uint32_t first = data[0], middle = data[count / 2], last = data[count - 1];
  uint32_t low = first < middle ? first : middle, high = first < middle ? middle : first;
  uint32_t pivot = last < low ? low : last > high ? high : last;
  size_t i = 0, j = count - 1;
  for (;;) {
    while (data[i] < pivot) i++;
    while (data[j] > pivot) j--;
    if (i >= j) break;
    uint32_t other = data[i];
    data[i++] = data[j], data[j--] = other;
  }
  quick(data, i);
  quick(data + i, count - i);
}

static void merge(uint32_t *data, uint32_t *spare, size_t count) {
  if (count < 16) return insertion(data, count);
  size_t half = count / 2;
  merge(data, spare, half);
  merge(data + half, spare + half, count - half);
  memcpy(spare, data, half * sizeof *data);
  size_t i = 0, j = half, k = 0;
  while (i < half && j < count) data[k++] = spare[i] <= data[j] ? spare[i++] : data[j++];
  while (i < half) data[k++] = spare[i++];
}

static void sink(uint32_t *data, size_t at, size_t count) {
  uint32_t value = data[at];
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && data[child + 1] > data[child]) child++;
    if (data[child] <= value) break;
    data[at] = data[child];
  }
  data[at] = value;
}

static void heap(uint32_t *data, size_t count) {
  for (size_t i = count / 2; i-- > 0;) sink(data, i, count);
  for (size_t end = count - 1; end > 0; end--) {
    uint32_t largest = data[0];
    data[0] = data[end], data[end] = largest;
    sink(data, 0, end);
  }
}

static void radix(uint32_t *data, uint32_t *spare, size_t count) {
  for (int shift = 0; shift < 32; shift += 8) {
    size_t starts[257] = {0};
    for (size_t i = 0; i < count; i++) starts[(data[i] >> shift & 255) + 1]++;
    for (int i = 0; i < 256; i++) starts[i + 1] += starts[i];
    for (size_t i = 0; i < count; i++) spare[starts[data[i] >> shift & 255]++] = data[i];
    uint32_t *other = data;
    data = spare, spare = other;
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return fputs("sorts: quick, merge, heap or radix, and a count\n", stderr), 2;
  size_t count = strtoul(argv[2], NULL, 10);
  uint32_t *data = malloc(count * sizeof *data), *spare = malloc(count * sizeof *spare);
  if (data == NULL || spare == NULL || count == 0) return 1;
  uint32_t random = 1, digest = 0;
  for (int round = 0; round < 8; round++) {
    for (size_t i = 0; i < count; i++) data[i] = random = random * 1664525u + 1013904223u;
    switch (argv[1][0]) {
      case 'q': quick(data, count); break;
      case 'm': merge(data, spare, count); break;
      case 'h': heap(data, count); break;
      default: radix(data, spare, count);
    }
    for (size_t i = 1; i < count; i++) {
      if (data[i - 1] > data[i]) return printf("not sorted at %zu\n", i), 1;
      digest = digest * 31 + data[i];
    }
  }
  printf("%s %zu: %u\n", argv[1], count, digest);
  return 0;
}
