// Files on a preopened directory: written through stdio and through descriptors, appended to, read back by seeking,
// renamed, listed, truncated and removed, with several of them open at once. The files that stay are compared too.
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(int condition, const char *what) {
  if (condition) return;
  perror(what);
  exit(4);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
  char *names[64];
  size_t count = 0;
  DIR *directory = opendir(path);
  must(directory != NULL, "opendir");
  for (struct dirent *entry; (entry = readdir(directory)) != NULL && count < 64;) {
    if (entry->d_name[0] != '.') names[count++] = strdup(entry->d_name);
  }
  closedir(directory);
  qsort(names, count, sizeof *names, by_name);
  printf("%s:", path);
  for (size_t i = 0; i < count; i++) {
    char full[128];
    struct stat status;
    snprintf(full, sizeof full, "%s/%s", path, names[i]);
    must(stat(full, &status) == 0, full);
    if (S_ISDIR(status.st_mode)) printf(" %s/", names[i]);
    else printf(" %s(%lld)", names[i], (long long)status.st_size);
    free(names[i]);
  }
  printf("\n");
}

int main(int argc, char **argv) {
  uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 400;
  must(mkdir("/data/parts", 0755) == 0, "mkdir");
  FILE *journal = fopen("/data/journal.txt", "w");
  must(journal != NULL, "journal");
  int log = open("/data/log.txt", O_WRONLY | O_CREAT | O_APPEND, 0644);
  must(log >= 0, "log");
  int table = open("/data/table.bin", O_RDWR | O_CREAT | O_TRUNC, 0644);
  must(table >= 0, "table");
  uint32_t random = 1;
  for (uint32_t i = 0; i < count; i++) {
    random = random * 1664525u + 1013904223u;
    fprintf(journal, "entry %u: %08x\n", i, random);
    char line[32];
    int length = snprintf(line, sizeof line, "log %u\n", i);
    must(write(log, line, (size_t)length) == length, "write");
    uint32_t record[4] = {i, random, ~random, random ^ i}, previous[4];
    off_t place = (off_t)((random >> 8) % 256) * 16;
    must(pwrite(table, record, 16, place) == 16, "pwrite");
    must(lseek(table, place, SEEK_SET) == place && read(table, previous, 16) == 16, "read");
    if (memcmp(record, previous, 16) != 0) return 5;
    if (i % (count / 8 + 1) == 0) {
      char from[64], to[64];
      snprintf(from, sizeof from, "/data/parts/part-%u.tmp", i);
      snprintf(to, sizeof to, "/data/parts/part-%u.txt", i);
      FILE *part = fopen(from, "w");
      must(part != NULL, from);
      fprintf(part, "part %u\n", i);
      must(fclose(part) == 0 && rename(from, to) == 0, to);
      list("/data/parts");
    }
  }
  must(fclose(journal) == 0, "fclose");
  must(ftruncate(log, (off_t)count * 4) == 0, "ftruncate");
  close(log);
  close(table);
  FILE *again = fopen("/data/journal.txt", "r");
  must(again != NULL, "journal again");
  unsigned lines = 0;
  uint32_t sum = 0;
  for (char line[64]; fgets(line, sizeof line, again) != NULL; lines++) sum = sum * 31 + (uint32_t)strtoul(line + 6, NULL, 10);
  fclose(again);
  must(unlink("/data/parts/part-0.txt") == 0, "unlink");
  printf("%u lines, sum %08x\n", lines, sum);
  list("/data");
  return 0;
}
