/*
 * One client: what it has sent and is not yet done with, what it has not yet taken, and where it is in its command.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct item;

/* Bytes [start, end) of a buffer that moves and grows as it needs. */
struct buffer {
  char *bytes;
  size_t capacity, start, end;
};

enum store { STORE_SET, STORE_ADD, STORE_REPLACE, STORE_APPEND, STORE_PREPEND, STORE_CAS };

struct connection {
  int input, output;   /* the same socket; or stdin and stdout */
  struct buffer in, out;
  bool at_end;         /* the client sends no more */
  bool closing;        /* nothing of it is looked at any more; what is in `out` is still sent */
  bool failed;         /* nor that */
  bool no_reply;       /* of the command that is being run */
  /* A value is being received for this item, if it is not NULL. */
  struct item *storing;
  enum store how;
  uint64_t expected_cas;
  size_t received;
  /* Bytes of a value that nobody wants. */
  size_t to_swallow;
  /* A get that has not all of its answer in `out` yet: where its next key begins in the line. 0: it has not begun. */
  size_t next_key;
};

/* NULL: no memory. */
struct connection *connection_new(int input, int output);
void connection_free(struct connection *connection);

/* Reads what there is, some buffers at most. */
void connection_receive(struct connection *connection);
/* Writes what the client takes. */
void connection_send(struct connection *connection);

static inline size_t buffered(const struct buffer *buffer) { return buffer->end - buffer->start; }
static inline const char *first_of(const struct buffer *buffer) { return buffer->bytes + buffer->start; }

/* Without memory the connection fails. */
void append(struct connection *connection, const void *bytes, size_t length);
void append_text(struct connection *connection, const char *text);
void append_number(struct connection *connection, uint64_t number);

#endif
