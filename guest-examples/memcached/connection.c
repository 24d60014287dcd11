#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"

enum { BUFFER_BEGINNING = 16 << 10 };

/* Room for so many more bytes behind `end`. */
static bool reserve(struct buffer *buffer, size_t more) {
  if (buffer->capacity - buffer->end >= more) return true;
  size_t held = buffered(buffer);
  if (buffer->capacity - held >= more) {
    memmove(buffer->bytes, first_of(buffer), held);
  } else {
    size_t capacity = buffer->capacity;
    while (capacity - held < more) capacity *= 2;
    char *bytes = malloc(capacity);
    if (bytes == NULL) return false;
    memcpy(bytes, first_of(buffer), held);
    free(buffer->bytes);
    buffer->bytes = bytes;
    buffer->capacity = capacity;
  }
  buffer->start = 0;
  buffer->end = held;
  return true;
}

static bool begin(struct buffer *buffer) {
  buffer->bytes = malloc(BUFFER_BEGINNING);
  buffer->capacity = BUFFER_BEGINNING;
  return buffer->bytes != NULL;
}

struct connection *connection_new(int input, int output) {
  struct connection *connection = calloc(1, sizeof *connection);
  if (connection == NULL) return NULL;
  connection->input = input;
  connection->output = output;
  if (begin(&connection->in) && begin(&connection->out)) return connection;
  connection_free(connection);
  return NULL;
}

void connection_free(struct connection *connection) {
  if (connection->storing != NULL) cache_discard(connection->storing);
  free(connection->in.bytes);
  free(connection->out.bytes);
  free(connection);
}

static bool is_temporary(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

/* A long value goes to its item at once, everything else by way of the buffer. */
static ssize_t receive_some(struct connection *connection) {
  struct item *item = connection->storing;
  struct buffer *in = &connection->in;
  if (item != NULL && buffered(in) == 0) {
    size_t wanted = item->value_length + 2 - connection->received;
    if (wanted >= BUFFER_BEGINNING) {
      ssize_t got = read(connection->input, value_of(item) + connection->received, wanted);
      if (got > 0) connection->received += (size_t)got;
      return got;
    }
  }
  if (!reserve(in, BUFFER_BEGINNING / 2)) {
    connection->failed = true;
    return 0;
  }
  ssize_t got = read(connection->input, in->bytes + in->end, in->capacity - in->end);
  if (got > 0) in->end += (size_t)got;
  return got;
}

void connection_receive(struct connection *connection) {
  ssize_t got = receive_some(connection);
  if (got == 0) connection->at_end = true;
  else if (got < 0 && !is_temporary()) connection->failed = true;
}

void connection_send(struct connection *connection) {
  struct buffer *out = &connection->out;
  while (buffered(out) > 0) {
    ssize_t sent = write(connection->output, first_of(out), buffered(out));
    if (sent < 0) {
      if (!is_temporary()) connection->failed = true;
      return;
    }
    out->start += (size_t)sent;
  }
  out->start = out->end = 0;
}

void append(struct connection *connection, const void *bytes, size_t length) {
  struct buffer *out = &connection->out;
  if (!reserve(out, length)) {
    connection->failed = true;
    return;
  }
  memcpy(out->bytes + out->end, bytes, length);
  out->end += length;
}

void append_text(struct connection *connection, const char *text) { append(connection, text, strlen(text)); }

void append_number(struct connection *connection, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + number % 10);
  while ((number /= 10) != 0);
  append(connection, digits + at, sizeof digits - at);
}
