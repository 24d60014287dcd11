// 128-bit vectors in locals across loops and calls: dot products, a byte histogram checksum, a saxpy, an integer mixer.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <wasm_simd128.h>

#define LENGTH 4096

static float xs[LENGTH], ys[LENGTH];
static uint8_t bytes[LENGTH];

__attribute__((noinline)) static v128_t mix(v128_t state, v128_t block) {
  state = wasm_i32x4_add(state, wasm_i32x4_mul(block, wasm_i32x4_splat(0x45d9f3b)));
  state = wasm_v128_xor(state, wasm_u32x4_shr(state, 15));
  return wasm_i8x16_shuffle(state, block, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 2, 3);
}

static float dot(void) {
  v128_t sum = wasm_f32x4_splat(0), other = wasm_f32x4_splat(0);
  for (int i = 0; i < LENGTH; i += 8) {
    sum = wasm_f32x4_add(sum, wasm_f32x4_mul(wasm_v128_load(&xs[i]), wasm_v128_load(&ys[i])));
    other = wasm_f32x4_add(other, wasm_f32x4_mul(wasm_v128_load(&xs[i + 4]), wasm_v128_load(&ys[i + 4])));
  }
  sum = wasm_f32x4_add(sum, other);
  return wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1) + wasm_f32x4_extract_lane(sum, 2) +
         wasm_f32x4_extract_lane(sum, 3);
}

static v128_t digest(v128_t state) {
  for (int i = 0; i < LENGTH; i += 16) state = mix(state, wasm_v128_load(&bytes[i]));
  return state;
}

static void saxpy(float a) {
  v128_t factor = wasm_f32x4_splat(a);
  for (int i = 0; i < LENGTH; i += 4) {
    v128_t y = wasm_f32x4_add(wasm_f32x4_mul(factor, wasm_v128_load(&xs[i])), wasm_v128_load(&ys[i]));
    wasm_v128_store(&ys[i], wasm_f32x4_mul(y, wasm_f32x4_splat(0.5f)));
  }
  for (int i = 0; i < LENGTH; i += 16) {
    v128_t block = wasm_v128_load(&bytes[i]);
    wasm_v128_store(&bytes[i], wasm_u8x16_add_sat(wasm_i8x16_add(block, wasm_i8x16_splat(3)), wasm_i8x16_splat(1)));
  }
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 6000;
  for (int i = 0; i < LENGTH; i++) xs[i] = (float)(i % 31) / 31, ys[i] = (float)(i % 17) / 17, bytes[i] = (uint8_t)(i * 7);
  v128_t state = wasm_i32x4_make(1, 2, 3, 4);
  float sum = 0;
  for (int round = 0; round < rounds; round++) {
    sum = sum * 0.5f + dot();
    state = digest(state);
    saxpy(0.25f + (float)(round % 7) / 16);
    if (round % (rounds / 4 + 1) == 0 || round == rounds - 1) {
      printf("%d: %a %016llx %016llx\n", round, sum, (unsigned long long)wasm_i64x2_extract_lane(state, 0),
             (unsigned long long)wasm_i64x2_extract_lane(state, 1));
    }
  }
  return 0;
}
