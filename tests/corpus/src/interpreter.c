// A bytecode interpreter: one big function, a loop around a dense switch (br_table), operands on its own stack.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PUSH, ADD, SUB, MUL, DUP, SWAP, OVER, LESS, JUMP, JUMP_IF_ZERO, LOAD, STORE, CALL, RETURN, PRINT, XOR, SHIFT, HALT };

static int64_t variables[16];

static uint64_t run(const int32_t *code) {
  int64_t stack[256];
  int32_t returns[64];
  int sp = 0, rp = 0;
  uint64_t steps = 0;
  for (int32_t pc = 0;; steps++) {
    switch (code[pc++]) {
      case PUSH: stack[sp++] = code[pc++]; break;
      case ADD: sp--, stack[sp - 1] += stack[sp]; break;
      case SUB: sp--, stack[sp - 1] -= stack[sp]; break;
      case MUL: sp--, stack[sp - 1] = (int64_t)((uint64_t)stack[sp - 1] * (uint64_t)stack[sp]); break;
      case DUP: stack[sp] = stack[sp - 1], sp++; break;
      case SWAP: {
        int64_t top = stack[sp - 1];
        stack[sp - 1] = stack[sp - 2], stack[sp - 2] = top;
        break;
      }
      case OVER: stack[sp] = stack[sp - 2], sp++; break;
      case LESS: sp--, stack[sp - 1] = stack[sp - 1] < stack[sp]; break;
      case JUMP: pc = code[pc]; break;
      case JUMP_IF_ZERO: pc = stack[--sp] == 0 ? code[pc] : pc + 1; break;
      case LOAD: stack[sp++] = variables[code[pc++]]; break;
      case STORE: variables[code[pc++]] = stack[--sp]; break;
      case CALL: returns[rp++] = pc + 1, pc = code[pc]; break;
      case RETURN: pc = returns[--rp]; break;
      case PRINT: printf("%lld\n", (long long)stack[--sp]); break;
      case XOR: sp--, stack[sp - 1] ^= stack[sp]; break;
      case SHIFT: sp--, stack[sp - 1] = (int64_t)((uint64_t)stack[sp - 1] >> (stack[sp] & 63)); break;
      case HALT: return steps;
      default: abort();
    }
  }
}

int main(int argc, char **argv) {
  int32_t count = argc > 1 ? atoi(argv[1]) : 200000;
  // variable 0: counter, 1: state of the generator, 2: sum, 3: when to print next
  int32_t program[128], at = 0;
#define EMIT(...)                                                                     \
  do {                                                                                \
    const int32_t words[] = {__VA_ARGS__};                                            \
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) program[at++] = words[w]; \
  } while (0)
  EMIT(PUSH, 12345, STORE, 1);
  int32_t head = at;
  EMIT(LOAD, 0, PUSH, count, LESS, JUMP_IF_ZERO, 0);
  int32_t leave = at - 1;
  EMIT(CALL, 0);
  int32_t called = at - 1;
  EMIT(LOAD, 2, ADD, STORE, 2, LOAD, 0, PUSH, 1, ADD, STORE, 0, LOAD, 0, LOAD, 3, LESS, JUMP_IF_ZERO, 0);
  int32_t due = at - 1;
  EMIT(JUMP, head);
  program[due] = at;
  EMIT(LOAD, 2, PRINT, LOAD, 3, PUSH, count / 4 + 1, ADD, STORE, 3, JUMP, head);
  program[leave] = at;
  EMIT(LOAD, 2, PRINT, HALT);
  program[called] = at;
  EMIT(LOAD, 1, PUSH, 1103515245, MUL, PUSH, 12345, ADD, DUP, STORE, 1, PUSH, 33, SHIFT, DUP, PUSH, 7, SHIFT, XOR, RETURN);
  printf("%llu steps\n", (unsigned long long)run(program));
  return 0;
}
