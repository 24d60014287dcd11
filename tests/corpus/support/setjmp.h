// Debian's wasi-libc refuses to have a setjmp.h. This one goes with setjmp.c beside it and clang's lowering
// (-mllvm -wasm-enable-sjlj): https://github.com/WebAssembly/tool-conventions/blob/main/SetjmpLongjmp.md
#pragma once

typedef void *jmp_buf[8];

#ifdef __cplusplus
extern "C" {
#endif
int setjmp(jmp_buf) __attribute__((returns_twice));
void longjmp(jmp_buf, int) __attribute__((noreturn));
#ifdef __cplusplus
}
#endif
