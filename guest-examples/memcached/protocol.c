#include "protocol.h"

#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "connection.h"
#include "statistics.h"
#include "words.h"

/* Longer lines are not commands, but for a get of many keys. */
enum { LINE_MAXIMUM = 2048, GET_LINE_MAXIMUM = 1 << 20 };
/* With so much to take, a client gets no more answers until it has taken some. */
enum { OUTPUT_ENOUGH = 256 << 10 };
/* Later times are seconds since 1970, earlier ones seconds from now. */
enum { RELATIVE_TIME_MAXIMUM = 60 * 60 * 24 * 30 };

static const char BAD_LINE[] = "CLIENT_ERROR bad command line format\r\n";

struct protocol_statistics protocol_statistics;

static void reply(struct connection *connection, const char *text) {
  if (!connection->no_reply) append_text(connection, text);
}

/* An answer that noreply does not suppress: what follows may be misunderstood. */
static void reply_always(struct connection *connection, const char *text) { append_text(connection, text); }

static int64_t expiry_of(int64_t seconds) {
  if (seconds == 0) return NEVER;
  if (seconds < 0) return LONG_PAST;
  return seconds > RELATIVE_TIME_MAXIMUM ? seconds : cache_now() + seconds;
}

static bool is_key(struct word word) { return word.length <= KEY_MAXIMUM; }

/* --- get, gets, gat, gats --- */

static void append_value(struct connection *connection, struct item *item, bool with_cas) {
  append(connection, "VALUE ", 6);
  append(connection, item->bytes, item->key_length);
  append(connection, " ", 1);
  append_number(connection, item->flags);
  append(connection, " ", 1);
  append_number(connection, item->value_length);
  if (with_cas) {
    append(connection, " ", 1);
    append_number(connection, item->cas);
  }
  append(connection, "\r\n", 2);
  append(connection, value_of(item), (size_t)item->value_length + 2);
}

/* False: the rest of the keys has to wait until the client has taken what there is. */
static bool run_get(struct connection *connection, const struct line *line, bool with_cas, bool touching) {
  struct word word;
  int64_t seconds = 0;
  if (line->count < 2) return reply(connection, "ERROR\r\n"), true;
  if (touching && !parse_signed(line->words[1], &seconds))
    return reply_always(connection, "CLIENT_ERROR invalid exptime argument\r\n"), true;
  struct word before = line->words[touching ? 1 : 0];
  size_t at = (size_t)(before.text + before.length - line->text);
  if (connection->next_key == 0) {
    for (size_t next = at; next_word(line, &next, &word);) {
      if (!is_key(word)) return reply_always(connection, BAD_LINE), true;
    }
  } else {
    at = connection->next_key;
  }
  while (next_word(line, &at, &word)) {
    struct item *item = cache_find(word.text, word.length);
    protocol_statistics.gets++;
    if (touching) protocol_statistics.touches++;
    if (item != NULL) {
      protocol_statistics.get_hits++;
      if (touching) {
        protocol_statistics.touch_hits++;
        item->expires = expiry_of(seconds);
      }
      append_value(connection, item, with_cas);
    }
    if (connection->failed) return true;
    if (buffered(&connection->out) >= OUTPUT_ENOUGH) {
      connection->next_key = at;
      return false;
    }
  }
  connection->next_key = 0;
  append(connection, "END\r\n", 5);
  return true;
}

/* --- set, add, replace, append, prepend, cas --- */

static void begin_store(struct connection *connection, const struct line *line, enum store how) {
  size_t most = how == STORE_CAS ? 7 : 6;
  if (line->count != most && line->count != most - 1) return reply(connection, "ERROR\r\n");
  connection->no_reply = line->count == most && word_is(line->words[most - 1], "noreply");
  struct word key = line->words[1];
  uint64_t flags, cas = 0;
  int64_t seconds, length;
  if (!is_key(key) || !parse_unsigned(line->words[2], UINT32_MAX, &flags) || !parse_signed(line->words[3], &seconds) ||
      !parse_signed(line->words[4], &length) || length < 0 || length > INT32_MAX - 2 ||
      (how == STORE_CAS && !parse_unsigned(line->words[5], UINT64_MAX, &cas)))
    return reply(connection, BAD_LINE);
  struct item *item = NULL;
  bool too_large = length > VALUE_MAXIMUM;
  if (!too_large) item = cache_allocate(key.text, key.length, (uint32_t)flags, expiry_of(seconds), (size_t)length);
  if (item == NULL) {
    reply(connection, too_large ? "SERVER_ERROR object too large for cache\r\n"
                                : "SERVER_ERROR out of memory storing object\r\n");
    connection->to_swallow = (size_t)length + 2;
    // Rather no value than one that the client believes to be replaced.
    struct item *before = how == STORE_SET ? cache_find(key.text, key.length) : NULL;
    if (before != NULL) cache_remove(before);
    return;
  }
  connection->storing = item;
  connection->how = how;
  connection->expected_cas = cas;
  connection->received = 0;
}

/* The item with the new value at one end of the old one; both may be gone when memory is short. */
static const char *extend(struct item *piece, bool behind) {
  struct item *before = cache_find(piece->bytes, piece->key_length);
  if (before == NULL) return "NOT_STORED\r\n";
  size_t length = (size_t)before->value_length + piece->value_length;
  if (length > VALUE_MAXIMUM) return "NOT_STORED\r\n";
  struct item *whole = cache_allocate(piece->bytes, piece->key_length, before->flags, before->expires, length);
  if (whole == NULL) return "SERVER_ERROR out of memory storing object\r\n";
  before = cache_find(piece->bytes, piece->key_length); // the allocation may have evicted it
  if (before == NULL) return cache_discard(whole), "SERVER_ERROR out of memory storing object\r\n";
  struct item *left = behind ? before : piece, *right = behind ? piece : before;
  memcpy(value_of(whole), value_of(left), left->value_length);
  memcpy(value_of(whole) + left->value_length, value_of(right), right->value_length);
  cache_put(whole);
  return "STORED\r\n";
}

static void finish_store(struct connection *connection) {
  struct item *item = connection->storing;
  connection->storing = NULL;
  if (memcmp(value_of(item) + item->value_length, "\r\n", 2) != 0) {
    cache_discard(item);
    return reply_always(connection, "CLIENT_ERROR bad data chunk\r\n");
  }
  if (connection->how == STORE_APPEND || connection->how == STORE_PREPEND) {
    reply(connection, extend(item, connection->how == STORE_APPEND));
    return cache_discard(item);
  }
  struct item *before = connection->how == STORE_SET ? NULL : cache_find(item->bytes, item->key_length);
  const char *refusal = NULL;
  if (connection->how == STORE_ADD && before != NULL) refusal = "NOT_STORED\r\n";
  if (connection->how == STORE_REPLACE && before == NULL) refusal = "NOT_STORED\r\n";
  if (connection->how == STORE_CAS && before == NULL) refusal = "NOT_FOUND\r\n";
  else if (connection->how == STORE_CAS && before->cas != connection->expected_cas) refusal = "EXISTS\r\n";
  if (refusal == NULL) cache_put(item);
  else cache_discard(item);
  reply(connection, refusal == NULL ? "STORED\r\n" : refusal);
}

/* --- the other commands --- */

static void run_delete(struct connection *connection, const struct line *line) {
  if (line->count < 2 || line->count > 4) return reply(connection, "ERROR\r\n");
  // "delete KEY 0" is what old clients send.
  bool zero = line->count > 2 && word_is(line->words[2], "0");
  bool silent = line->count > 2 && word_is(line->words[line->count - 1], "noreply");
  connection->no_reply = silent;
  if ((line->count == 3 && !zero && !silent) || (line->count == 4 && !(zero && silent)))
    return reply(connection, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n");
  if (!is_key(line->words[1])) return reply(connection, BAD_LINE);
  struct item *item = cache_find(line->words[1].text, line->words[1].length);
  if (item != NULL) cache_remove(item);
  reply(connection, item != NULL ? "DELETED\r\n" : "NOT_FOUND\r\n");
}

static void run_arithmetic(struct connection *connection, const struct line *line, bool up) {
  if (line->count != 3 && line->count != 4) return reply(connection, "ERROR\r\n");
  connection->no_reply = word_is(line->words[line->count - 1], "noreply");
  struct word key = line->words[1];
  uint64_t delta, number;
  if (!is_key(key)) return reply(connection, BAD_LINE);
  if (!parse_unsigned(line->words[2], UINT64_MAX, &delta))
    return reply(connection, "CLIENT_ERROR invalid numeric delta argument\r\n");
  struct item *item = cache_find(key.text, key.length);
  if (item == NULL) return reply(connection, "NOT_FOUND\r\n");
  if (!parse_padded(value_of(item), item->value_length, &number))
    return reply(connection, "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
  number = up ? number + delta : number < delta ? 0 : number - delta;
  char digits[22];
  size_t length = format_number(number, digits);
  if (length <= item->value_length) {
    memcpy(value_of(item), digits, length);
    memset(value_of(item) + length, ' ', item->value_length - length);
    cache_changed(item);
  } else {
    struct item *longer = cache_allocate(key.text, key.length, item->flags, item->expires, length);
    if (longer == NULL) return reply(connection, "SERVER_ERROR out of memory in incr\r\n");
    memcpy(value_of(longer), digits, length);
    cache_put(longer);
  }
  memcpy(digits + length, "\r\n", 2);
  if (!connection->no_reply) append(connection, digits, length + 2);
}

static void run_touch(struct connection *connection, const struct line *line) {
  int64_t seconds;
  if (line->count != 3 && line->count != 4) return reply(connection, "ERROR\r\n");
  connection->no_reply = word_is(line->words[line->count - 1], "noreply");
  if (!is_key(line->words[1])) return reply(connection, BAD_LINE);
  if (!parse_signed(line->words[2], &seconds))
    return reply(connection, "CLIENT_ERROR invalid exptime argument\r\n");
  struct item *item = cache_find(line->words[1].text, line->words[1].length);
  protocol_statistics.touches++;
  if (item == NULL) return reply(connection, "NOT_FOUND\r\n");
  protocol_statistics.touch_hits++;
  item->expires = expiry_of(seconds);
  reply(connection, "TOUCHED\r\n");
}

static void run_flush(struct connection *connection, const struct line *line) {
  int64_t seconds = 0;
  if (line->count > 3) return reply(connection, "ERROR\r\n");
  connection->no_reply = word_is(line->words[line->count - 1], "noreply");
  size_t count = line->count - (connection->no_reply ? 1 : 0);
  if (count > 1 && !parse_signed(line->words[1], &seconds))
    return reply(connection, "CLIENT_ERROR invalid exptime argument\r\n");
  protocol_statistics.flushes++;
  if (seconds <= 0) cache_flush();
  else cache_flush_at(expiry_of(seconds));
  reply(connection, "OK\r\n");
}

static void run_verbosity(struct connection *connection, const struct line *line) {
  uint64_t level;
  if (line->count != 2 && line->count != 3) return reply(connection, "ERROR\r\n");
  connection->no_reply = word_is(line->words[line->count - 1], "noreply");
  bool known = parse_unsigned(line->words[1], UINT32_MAX, &level);
  reply(connection, known ? "OK\r\n" : BAD_LINE); // there is nothing to be verbose about
}

static void run_stats(struct connection *connection, const struct line *line) {
  if (line->count == 1) return append_statistics(connection);
  if (!word_is(line->words[1], "reset")) return reply(connection, "ERROR\r\n");
  reset_statistics();
  reply(connection, "RESET\r\n");
}

/* False: not done yet, to be run again. */
static bool run_line(struct connection *connection, const struct line *line) {
  static const char *const stores[] = {"set", "add", "replace", "append", "prepend", "cas"};
  struct word name = line->words[0];
  connection->no_reply = false;
  if (line->count == 0) return reply(connection, "ERROR\r\n"), true;
  if (word_is(name, "get")) return run_get(connection, line, false, false);
  if (word_is(name, "gets")) return run_get(connection, line, true, false);
  if (word_is(name, "gat")) return run_get(connection, line, false, true);
  if (word_is(name, "gats")) return run_get(connection, line, true, true);
  for (size_t how = 0; how < sizeof stores / sizeof *stores; how++) {
    if (word_is(name, stores[how])) return begin_store(connection, line, (enum store)how), true;
  }
  if (word_is(name, "delete")) run_delete(connection, line);
  else if (word_is(name, "incr")) run_arithmetic(connection, line, true);
  else if (word_is(name, "decr")) run_arithmetic(connection, line, false);
  else if (word_is(name, "touch")) run_touch(connection, line);
  else if (word_is(name, "flush_all")) run_flush(connection, line);
  else if (word_is(name, "stats")) run_stats(connection, line);
  else if (word_is(name, "version")) reply(connection, "VERSION " PROTOCOL_VERSION "\r\n");
  else if (word_is(name, "verbosity")) run_verbosity(connection, line);
  else if (word_is(name, "quit")) connection->closing = true;
  else reply(connection, "ERROR\r\n");
  return true;
}

/* False: it is not all there. */
static bool receive_value(struct connection *connection) {
  struct buffer *in = &connection->in;
  struct item *item = connection->storing;
  size_t wanted = (size_t)item->value_length + 2 - connection->received;
  size_t taken = buffered(in) < wanted ? buffered(in) : wanted;
  memcpy(value_of(item) + connection->received, first_of(in), taken);
  in->start += taken;
  connection->received += taken;
  if (taken < wanted) return false;
  finish_store(connection);
  return true;
}

static bool swallow(struct connection *connection) {
  struct buffer *in = &connection->in;
  size_t taken = buffered(in) < connection->to_swallow ? buffered(in) : connection->to_swallow;
  in->start += taken;
  connection->to_swallow -= taken;
  return connection->to_swallow == 0;
}

/* A line without an end: closes the connection of who sends something else than commands. */
static void check_length(struct connection *connection) {
  const struct buffer *in = &connection->in;
  size_t length = buffered(in);
  if (length <= LINE_MAXIMUM) return;
  bool getting = memcmp(first_of(in), "get ", 4) == 0 || memcmp(first_of(in), "gets ", 5) == 0;
  if (!getting || length > GET_LINE_MAXIMUM) connection->closing = true;
}

bool run_commands(struct connection *connection) {
  struct buffer *in = &connection->in;
  while (!connection->closing && !connection->failed) {
    if (connection->storing != NULL) {
      if (!receive_value(connection)) return false;
    } else if (connection->to_swallow > 0) {
      if (!swallow(connection)) return false;
    } else if (buffered(&connection->out) >= OUTPUT_ENOUGH) {
      return true;
    } else {
      struct line line;
      const char *end = memchr(first_of(in), '\n', buffered(in));
      if (end == NULL) return check_length(connection), false;
      split_line(&line, first_of(in), end);
      if (!run_line(connection, &line)) return true;
      in->start = (size_t)(end + 1 - in->bytes);
    }
  }
  return false;
}
