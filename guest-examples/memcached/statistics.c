#include "statistics.h"

#include "cache.h"
#include "connection.h"
#include "protocol.h"

static void append_line(struct connection *connection, const char *name, uint64_t value) {
  append_text(connection, "STAT ");
  append_text(connection, name);
  append(connection, " ", 1);
  append_number(connection, value);
  append(connection, "\r\n", 2);
}

void append_statistics(struct connection *connection) {
  const struct protocol_statistics *protocol = &protocol_statistics;
  append_line(connection, "uptime", (uint64_t)(cache_now() - protocol->started));
  append_line(connection, "time", (uint64_t)cache_now());
  append_text(connection, "STAT version " PROTOCOL_VERSION "\r\n");
  append_line(connection, "curr_connections", protocol->connections);
  append_line(connection, "total_connections", protocol->connections_ever);
  append_line(connection, "cmd_get", protocol->gets);
  append_line(connection, "cmd_set", cache_statistics.stored);
  append_line(connection, "cmd_touch", protocol->touches);
  append_line(connection, "cmd_flush", protocol->flushes);
  append_line(connection, "get_hits", protocol->get_hits);
  append_line(connection, "get_misses", protocol->gets - protocol->get_hits);
  append_line(connection, "touch_hits", protocol->touch_hits);
  append_line(connection, "touch_misses", protocol->touches - protocol->touch_hits);
  append_line(connection, "bytes", cache_statistics.used);
  append_line(connection, "limit_maxbytes", cache_statistics.limit);
  append_line(connection, "curr_items", cache_statistics.items);
  append_line(connection, "total_items", cache_statistics.stored);
  append_line(connection, "evictions", cache_statistics.evicted);
  append_text(connection, "END\r\n");
}

void reset_statistics(void) {
  struct protocol_statistics *protocol = &protocol_statistics;
  protocol->connections_ever = 0;
  protocol->gets = protocol->get_hits = protocol->touches = protocol->touch_hits = protocol->flushes = 0;
  cache_statistics.stored = cache_statistics.evicted = 0;
}
