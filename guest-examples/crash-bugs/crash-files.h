// What the programs with files share. They are granted an empty directory as "/".
#ifndef CRASH_FILES_H
#define CRASH_FILES_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash.h"

static void must(int good) {
  if (!good) abort();
}

static void write_file(const char *path, int flags, const void *bytes, size_t length, int sync) {
  int file = open(path, O_WRONLY | O_CREAT | flags, 0666);
  must(file >= 0);
  must(write(file, bytes, length) == (ssize_t)length);
  if (sync) must(fsync(file) == 0);
  must(close(file) == 0);
}

// The names in it are durable.
static inline void sync_directory(void) {
  int directory = open("/", O_RDONLY | O_DIRECTORY);
  must(directory >= 0);
  must(fsync(directory) == 0);
  close(directory);
}

// Bytes read, or -1 if there is no such file.
static ssize_t read_file(const char *path, void *bytes, size_t most) {
  int file = open(path, O_RDONLY);
  if (file < 0) return -1;
  ssize_t length = read(file, bytes, most);
  close(file);
  return length;
}

#endif
