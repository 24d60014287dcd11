/*
 * A cache that speaks memcached's text protocol, on the socket that it was given as descriptor 3, or, if there is none, on
 * standard input and output, as under inetd.
 *
 *     memcached [-m MEBIBYTES] [-c CONNECTIONS]
 *
 * One thread, one loop: wait until some descriptor is ready, read what there is, run the commands that are whole, write
 * what the client takes. There is nothing here that saves or loads anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "connection.h"
#include "protocol.h"

enum { LISTENER = 3, USAGE_STATUS = 64 };
/* wasi-libc's poll has 128 bytes of the stack for each. */
enum { CONNECTIONS_MAXIMUM = 4096 };

/* Place 0 belongs to the listener; connections[i] and polled[i] to each other. */
static struct connection **connections;
static struct pollfd *polled;
static size_t places = 1, most_places;

static size_t number_option(const char *name, const char *text, size_t maximum) {
  char *end = NULL;
  unsigned long number = text == NULL ? 0 : strtoul(text, &end, 10);
  if (number == 0 || number > maximum || *end != '\0') {
    fprintf(stderr, "memcached: %s takes a number from 1 to %zu\n", name, maximum);
    exit(USAGE_STATUS);
  }
  return number;
}

static void open_place(struct connection *connection) {
  connections[places] = connection;
  polled[places] = (struct pollfd){.fd = connection->input, .events = POLLIN};
  places++;
  protocol_statistics.connections++;
  protocol_statistics.connections_ever++;
}

static void close_place(size_t place) {
  struct connection *connection = connections[place];
  close(connection->input);
  if (connection->output != connection->input) close(connection->output);
  connection_free(connection);
  places--;
  connections[place] = connections[places];
  polled[place] = polled[places];
  protocol_statistics.connections--;
}

/* As long as there is room; who comes later waits in the listener's queue. */
static void accept_all(void) {
  while (places < most_places) {
    int socket = accept(LISTENER, NULL, NULL);
    if (socket < 0) {
      bool full = errno == EMFILE || errno == ENFILE;
      if (full && places == 1) {
        perror("memcached: there is no room for a single connection");
        exit(1);
      }
      if (full) most_places = places; // the next one gets the place of somebody who leaves
      return;
    }
    fcntl(socket, F_SETFL, O_NONBLOCK);
    struct connection *connection = connection_new(socket, socket);
    if (connection == NULL) {
      close(socket);
      return;
    }
    open_place(connection);
  }
}

/* What `revents` tells of a connection; true: it is still there. */
static bool serve(size_t place) {
  struct connection *connection = connections[place];
  short ready = polled[place].revents;
  bool wants_room = false;
  if ((ready & POLLOUT) != 0) connection_send(connection);
  else if ((ready & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0) connection_receive(connection);
  do {
    wants_room = run_commands(connection);
    connection_send(connection);
  } while (wants_room && !connection->failed && buffered(&connection->out) == 0);
  bool unsent = buffered(&connection->out) > 0;
  if (connection->failed || ((connection->closing || connection->at_end) && !unsent)) return false;
  // While answers wait nothing is read: the client's own buffers fill, and it has to take them.
  polled[place].events = unsent ? POLLOUT : POLLIN;
  polled[place].fd = unsent ? connection->output : connection->input;
  return true;
}

static void serve_all(void) {
  for (size_t place = places - 1; place >= 1; place--) {
    if (polled[place].revents != 0 && !serve(place)) close_place(place); // the last one moves here, and was served
  }
}

static bool is_socket(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode);
}

int main(int count, char **arguments) {
  size_t mebibytes = 64, most_connections = 1024;
  for (int i = 1; i < count; i += 2) {
    if (strcmp(arguments[i], "-m") == 0) mebibytes = number_option("-m", arguments[i + 1], 3072);
    else if (strcmp(arguments[i], "-c") == 0) most_connections = number_option("-c", arguments[i + 1], CONNECTIONS_MAXIMUM);
    else {
      fprintf(stderr, "memcached: no option %s; usage: memcached [-m MEBIBYTES] [-c CONNECTIONS]\n", arguments[i]);
      return USAGE_STATUS;
    }
  }
  most_places = most_connections + 1;
  connections = calloc(most_places, sizeof *connections);
  polled = calloc(most_places, sizeof *polled);
  if (connections == NULL || polled == NULL) abort();
  cache_begin(mebibytes << 20);
  protocol_statistics.started = time(NULL);

  bool listening = is_socket(LISTENER);
  if (listening) {
    fcntl(LISTENER, F_SETFL, O_NONBLOCK);
  } else {
    struct connection *only = connection_new(STDIN_FILENO, STDOUT_FILENO);
    if (only == NULL) abort();
    open_place(only);
  }
  while (listening || places > 1) {
    bool accepting = listening && places < most_places;
    polled[0] = (struct pollfd){.fd = LISTENER, .events = POLLIN};
    size_t skipped = accepting ? 0 : 1;
    if (poll(polled + skipped, places - skipped, -1) < 0 && errno != EINTR) {
      perror("memcached: poll");
      return 1;
    }
    cache_tick(time(NULL));
    serve_all();
    if (accepting && polled[0].revents != 0) accept_all();
  }
  return 0;
}
