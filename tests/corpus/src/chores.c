/*
 * All that a program can do to files, many times over, in an order that follows from what it has found: after a kill, an
 * effect that is lost or made twice changes everything that comes later. Reads stdin, looks at clocks and random numbers,
 * and ends with 3.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static unsigned sum;

static void add(const char *text) {
  while (*text) sum = sum * 31 + (unsigned char)*text++;
}

static void work(int rounds) {
  volatile unsigned x = 0;
  for (int i = 0; i < rounds * 1000; i++) x = x * 31 + i;
}

static void readAll(FILE *file) {
  char line[256];
  fseek(file, 0, SEEK_SET);
  while (fgets(line, sizeof line, file)) add(line);
}

/* A file that loses its name, or its place to another one, while it is open. */
static void temporary(int i, const char *name, const char *other) {
  FILE *file = fopen(name, "w+");
  if (!file) return;
  fprintf(file, "content %d\n", i);
  fflush(file);
  if (i % 6 == 0) unlink(name);
  else if (i % 6 == 1) rename(name, other);
  else if (i % 6 == 2) {
    FILE *third = fopen("/data/third", "w");
    fprintf(third, "third %d\n", i);
    fclose(third);
    rename("/data/third", name);
  }
  work(2);
  fprintf(file, "more of %d\n", i);
  fflush(file);
  readAll(file);
  struct stat facts;
  fstat(fileno(file), &facts);
  sum = sum * 31 + (unsigned)facts.st_size + 7 * (unsigned)facts.st_nlink;
  fclose(file);
}

static void directories(int i) {
  char name[64];
  snprintf(name, sizeof name, "/data/dir%d", i % 4);
  if (mkdir(name, 0777) == 0) sum += 3;
  else sum += rmdir(name) == 0 ? 5 : 7;
  DIR *listing = opendir("/data");
  unsigned entries = 0;
  for (struct dirent *entry; (entry = readdir(listing));) entries++;
  closedir(listing);
  sum = sum * 31 + entries;
}

static void links(void) {
  sum += link("/data/journal", "/data/hard") == 0 ? 17 : 19 + (unlink("/data/hard") == 0);
  sum += symlink("journal", "/data/soft") == 0 ? 23 : 29 + (unlink("/data/soft") == 0);
}

static void lock(void) {
  int file = open("/data/lock", O_CREAT | O_EXCL | O_RDWR, 0666);
  if (file < 0) {
    sum += 13;
    unlink("/data/lock");
    return;
  }
  sum += 11;
  write(file, "x", 1);
  close(file);
}

/* A counter in a file: a round that is done twice shows. */
static void count(void) {
  int file = open("/data/count", O_CREAT | O_RDWR, 0666);
  unsigned value = 0;
  pread(file, &value, sizeof value, 0);
  value++;
  pwrite(file, &value, sizeof value, 0);
  close(file);
  sum = sum * 31 + value;
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 100;
  FILE *journal = fopen("/data/journal", "a");
  struct timespec before, now;
  clock_gettime(CLOCK_MONOTONIC, &before);
  for (int i = 0; i < rounds; i++) {
    char name[64], other[64], line[256];
    unsigned random[2];
    work(20);
    getentropy(random, sizeof random);
    snprintf(name, sizeof name, "/data/f%d", i % 17);
    snprintf(other, sizeof other, "/data/g%d", i % 7);
    printf("round %d %u\n", i, sum);
    fflush(stdout);
    fprintf(journal, "round %d %u\n", i, sum);
    fflush(journal);
    count();
    if (i % 3 == 0) temporary(i, name, other);
    if (i % 5 == 0) sum += rename(name, other) == 0 ? 1 : 2;
    if (i % 7 == 0) directories(i);
    if (i % 9 == 0 && fgets(line, sizeof line, stdin)) add(line);
    if (i % 11 == 0) lock();
    if (i % 13 == 0) links();
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec < before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec < before.tv_nsec)) return 99;
    before = now;
    /* What is random must be so only once: both copies are of one draw. */
    FILE *first = fopen("/data/random", "w+");
    fprintf(first, "%u\n", random[0]);
    fseek(first, 0, SEEK_SET);
    unsigned again = 0;
    if (fscanf(first, "%u", &again) != 1 || again != random[0]) return 98;
    fclose(first);
    unlink("/data/random");
  }
  printf("done %u\n", sum);
  return 3;
}
