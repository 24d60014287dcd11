/* Lines of words, and numbers in them. */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORDS_MAXIMUM = 8 };

struct word {
  const char *text;
  size_t length;
};

struct line {
  const char *text, *end;
  size_t count;                      /* of all words; those above the maximum are not in `words` */
  struct word words[WORDS_MAXIMUM];
};

/* `newline` ends the line, and a carriage return before it is no part of it. */
void split_line(struct line *line, const char *text, const char *newline);

/* The word at or behind byte `*at` of the line, which becomes the one behind the word. False: there is none. */
bool next_word(const struct line *line, size_t *at, struct word *word);

bool word_is(struct word word, const char *text);

/* Decimal digits and nothing else; false: they are not, or the number is above the maximum. */
bool parse_unsigned(struct word word, uint64_t maximum, uint64_t *number);
/* The same in 32 bits and with a sign. */
bool parse_signed(struct word word, int64_t *number);
/* A value: digits, and then perhaps a space and anything. */
bool parse_padded(const char *text, size_t length, uint64_t *number);

/* At most 20 digits; returns how many. */
size_t format_number(uint64_t number, char *digits);

#endif
