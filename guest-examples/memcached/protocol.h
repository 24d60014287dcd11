/* The text protocol: https://github.com/memcached/memcached/blob/master/doc/protocol.txt */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

struct connection;

struct protocol_statistics {
  int64_t started;
  uint64_t connections, connections_ever;
  uint64_t gets, get_hits, touches, touch_hits, flushes;
};

extern struct protocol_statistics protocol_statistics;

/* Runs all commands that are there whole. Stops early, with true, when the client has to take answers first. */
bool run_commands(struct connection *connection);

#endif
