/* listen-at-3 PORT COMMAND...: runs the command with a listening socket as descriptor 3, where a WASI host has it too. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  if (count < 3 || listener < 0) return 2;
  address.sin_port = htons((unsigned short)atoi(arguments[1]));
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1024) != 0) {
    perror("listen-at-3");
    return 1;
  }
  if (listener != 3) dup2(listener, 3);
  signal(SIGPIPE, SIG_IGN); /* as a WASI host does: a write says EPIPE */
  execv(arguments[2], arguments + 2);
  perror(arguments[2]);
  return 1;
}
