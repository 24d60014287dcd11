#include "words.h"

#include <string.h>

void split_line(struct line *line, const char *text, const char *newline) {
  line->text = text;
  line->end = newline > text && newline[-1] == '\r' ? newline - 1 : newline;
  line->count = 0;
  struct word word;
  for (size_t at = 0; line->count <= WORDS_MAXIMUM && next_word(line, &at, &word); line->count++) {
    if (line->count < WORDS_MAXIMUM) line->words[line->count] = word;
  }
}

bool next_word(const struct line *line, size_t *at, struct word *word) {
  const char *text = line->text + *at;
  while (text < line->end && *text == ' ') text++;
  const char *end = text;
  while (end < line->end && *end != ' ') end++;
  word->text = text;
  word->length = (size_t)(end - text);
  *at = (size_t)(end - line->text);
  return end > text;
}

bool word_is(struct word word, const char *text) {
  return word.length == strlen(text) && memcmp(word.text, text, word.length) == 0;
}

bool parse_unsigned(struct word word, uint64_t maximum, uint64_t *number) {
  uint64_t value = 0;
  if (word.length == 0) return false;
  for (size_t i = 0; i < word.length; i++) {
    unsigned digit = (unsigned)(word.text[i] - '0');
    if (digit > 9 || value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *number = value;
  return value <= maximum;
}

bool parse_signed(struct word word, int64_t *number) {
  bool negative = word.length > 0 && word.text[0] == '-';
  uint64_t magnitude;
  if (negative) {
    word.text++;
    word.length--;
  }
  if (!parse_unsigned(word, INT32_MAX, &magnitude)) return false;
  *number = negative ? -(int64_t)magnitude : (int64_t)magnitude;
  return true;
}

bool parse_padded(const char *text, size_t length, uint64_t *number) {
  const char *space = memchr(text, ' ', length);
  return parse_unsigned((struct word){text, space == NULL ? length : (size_t)(space - text)}, UINT64_MAX, number);
}

size_t format_number(uint64_t number, char *digits) {
  char reversed[20];
  size_t count = 0;
  do reversed[count++] = (char)('0' + number % 10);
  while ((number /= 10) != 0);
  for (size_t i = 0; i < count; i++) digits[i] = reversed[count - 1 - i];
  return count;
}
