/* What `stats` and `version` tell. */
#ifndef STATISTICS_H
#define STATISTICS_H

#define PROTOCOL_VERSION "1.6-vermilion"

struct connection;

void append_statistics(struct connection *connection);
/* Counts begin again; what is in the cache stays. */
void reset_statistics(void);

#endif
