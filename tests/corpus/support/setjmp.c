// What clang's lowering of setjmp and longjmp calls. A longjmp is a WebAssembly exception with the tag __c_longjmp; the
// function that called setjmp catches it and asks __wasm_setjmp_test which of its setjmp calls, if any, was meant.
#include <stdint.h>
#include <stdlib.h>

struct jump_buffer {
  void *invocation; // of the function that called setjmp; null: setjmp was never called with this buffer
  uint32_t label;   // of the setjmp call in that function, from 1 on
  struct {
    void *buffer;
    int value;
  } thrown; // what the exception carries: the address of this
};

void __wasm_setjmp(struct jump_buffer *buffer, uint32_t label, void *invocation) {
  if (label == 0 || invocation == NULL) abort();
  buffer->invocation = invocation;
  buffer->label = label;
}

uint32_t __wasm_setjmp_test(const struct jump_buffer *buffer, void *invocation) {
  return buffer->invocation == invocation ? buffer->label : 0;
}

void __wasm_longjmp(struct jump_buffer *buffer, int value) {
  buffer->thrown.buffer = buffer;
  buffer->thrown.value = value == 0 ? 1 : value;
  __builtin_wasm_throw(1, &buffer->thrown);
}
