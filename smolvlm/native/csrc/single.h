// One row times a packed matrix: what writing the next token of one conversation consists of.
#pragma once
#include "few.h"

struct Row {
  Space<bf16> wide;
  WholeRows whole;

  // x: (k,) float32, k a multiple of 64, zeros behind the last input.
  void set(const float* x, int k, bool codes) {
    if (codes) {
      whole.fit(1, k);
      whole.set(0, [&](int i) { return _mm512_loadu_ps(x + i); });
      return;
    }
    wide.fit(k);
    for (int i = 0; i < k; i += LANES) narrow(wide.data() + i, _mm512_loadu_ps(x + i));
  }
};

// 16 outputs of a row of bfloat16.
static __m512 multiply_wide(const bf16* row, const Matrix& w, int block) {
  constexpr int CHAINS = 4, AHEAD = 1024;  // sums that do not wait for each other; values
  const bf16* weights = w.wide + (size_t)block * w.k * TILE_N;
  const int32_t* pairs = (const int32_t*)row;
  __m512 sums[CHAINS];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  for (int r = 0; r < w.k / 2; r += CHAINS, weights += CHAINS * 2 * TILE_N, pairs += CHAINS)
    for (int i = 0; i < CHAINS; i++) {
      const bf16* own = weights + i * 2 * TILE_N;
      _mm_prefetch((const char*)(own + AHEAD), _MM_HINT_T0);
      sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)_mm512_loadu_si512(own),
                                 (__m512bh)_mm512_set1_epi32(pairs[i]));
    }
  const __m512 sum =
      _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
  return w.bias ? _mm512_add_ps(sum, _mm512_loadu_ps(w.bias + block * TILE_N)) : sum;
}

// Blocks [from, to) of 16 outputs: y (n,) float32.
static void multiply_one(const Row& x, const Matrix& w, int from, int to, float* y) {
  for (int block = from; block < to; block++) {
    if (w.codes)
      multiply_codes<1>(x.whole, 0, w, block, y + block * TILE_N, TILE_N);
    else
      _mm512_storeu_ps(y + block * TILE_N, multiply_wide(x.wide.data(), w, block));
  }
}
