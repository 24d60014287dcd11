// A calculator for 64-bit integers with variables, one line at a time. Pull the plug between two lines, or in the middle
// of one; the variables are still there.
//
//   line       = [name "="] expression
//   expression = term {("+" | "-") term}
//   term       = factor {("*" | "/" | "%") factor}
//   factor     = number | name | "(" expression ")" | "-" factor
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct variable {
  char name[32];
  int64_t value;
  struct variable *next;
};

static struct variable *variables;
static const char *at;      // the next character of the line
static const char *problem; // what is wrong with the line, or NULL

static int64_t expression(void);

static void skip_spaces(void) {
  while (isspace((unsigned char)*at)) at++;
}

static struct variable *find(const char *name) {
  for (struct variable *variable = variables; variable != NULL; variable = variable->next) {
    if (strcmp(variable->name, name) == 0) return variable;
  }
  return NULL;
}

static void read_name(char name[32]) {
  size_t length = 0;
  for (; isalnum((unsigned char)*at) || *at == '_'; at++) {
    if (length < 31) name[length++] = *at;
  }
  name[length] = '\0';
}

static int64_t factor(void) {
  skip_spaces();
  if (isdigit((unsigned char)*at)) {
    uint64_t value = 0;
    for (; isdigit((unsigned char)*at); at++) value = value * 10 + (uint64_t)(*at - '0');
    return (int64_t)value;
  }
  if (isalpha((unsigned char)*at)) {
    char name[32];
    read_name(name);
    struct variable *variable = find(name);
    if (variable == NULL) problem = "no such variable";
    return variable == NULL ? 0 : variable->value;
  }
  if (*at == '-') {
    at++;
    return (int64_t)(0 - (uint64_t)factor());
  }
  if (*at == '(') {
    at++;
    int64_t value = expression();
    skip_spaces();
    if (*at != ')') problem = "expected )";
    else at++;
    return value;
  }
  problem = "expected a number, a name or (";
  return 0;
}

static int64_t term(void) {
  int64_t value = factor();
  for (;;) {
    skip_spaces();
    char operation = *at;
    if (operation != '*' && operation != '/' && operation != '%') return value;
    at++;
    int64_t right = factor();
    if (operation == '*') value = (int64_t)((uint64_t)value * (uint64_t)right);
    else if (right == 0 || (right == -1 && value == INT64_MIN)) problem = "cannot divide";
    else value = operation == '/' ? value / right : value % right;
    if (problem != NULL) return 0;
  }
}

static int64_t expression(void) {
  int64_t value = term();
  for (;;) {
    skip_spaces();
    char operation = *at;
    if (operation != '+' && operation != '-') return value;
    at++;
    uint64_t right = (uint64_t)term();
    value = (int64_t)(operation == '+' ? (uint64_t)value + right : (uint64_t)value - right);
  }
}

static void assign(const char *name, int64_t value) {
  struct variable *variable = find(name);
  if (variable == NULL) {
    variable = calloc(1, sizeof *variable);
    if (variable == NULL) {
      problem = "out of memory";
      return;
    }
    strcpy(variable->name, name);
    variable->next = variables;
    variables = variable;
  }
  variable->value = value;
}

static void evaluate(const char *line) {
  char name[32] = "";
  problem = NULL;
  at = line;
  skip_spaces();
  if (*at == '\0') return;
  if (isalpha((unsigned char)*at)) {
    read_name(name);
    skip_spaces();
    if (*at == '=') {
      at++;
    } else {
      name[0] = '\0';
      at = line;
    }
  }
  int64_t value = expression();
  skip_spaces();
  if (problem == NULL && *at != '\0') problem = "expected the end of the line";
  if (problem == NULL && name[0] != '\0') assign(name, value);
  if (problem != NULL) printf("error: %s\n", problem);
  else if (name[0] != '\0') printf("%s = %" PRId64 "\n", name, value);
  else printf("%" PRId64 "\n", value);
}

int main(void) {
  char line[512];
  int interactive = isatty(STDIN_FILENO);
  for (;;) {
    if (interactive) printf("> ");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL || strcmp(line, "quit\n") == 0) return 0;
    evaluate(line);
  }
}
