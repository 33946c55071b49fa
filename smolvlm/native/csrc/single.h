// One row times a packed matrix: what writing one token of one conversation consists of. It takes
// as long as reading the weights does, so the codes are multiplied as they are.
//
// For codes, the row is held in whole numbers of 14 bits and a scale for every 64: finer than
// bfloat16, and 64 codes times 14 bits fit into 32 with room.
#pragma once
#include "amx.h"

constexpr float MOST = 8191.0f;

struct Row {
  Space<bf16> wide;
  Space<int16_t> whole;
  Space<float> scales;

  // x: (k,) float32, k a multiple of 64, zeros behind the last input.
  void set(const float* x, int k, bool codes) {
    if (!codes) {
      wide.fit(k);
      for (int i = 0; i < k; i += LANES) narrow(wide.data() + i, _mm512_loadu_ps(x + i));
      return;
    }
    whole.fit(k);
    scales.fit(k / GROUP);
    for (int g = 0; g < k / GROUP; g++) {
      __m512 part[4], most = _mm512_set1_ps(1e-30f);
      for (int i = 0; i < 4; i++) {
        part[i] = _mm512_loadu_ps(x + g * GROUP + i * LANES);
        most = _mm512_max_ps(most, _mm512_abs_ps(part[i]));
      }
      const float largest = _mm512_reduce_max_ps(most);
      scales[g] = largest / MOST;
      const __m512 by = _mm512_set1_ps(MOST / largest);
      for (int i = 0; i < 4; i++) {
        const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(part[i], by));
        _mm256_storeu_si256((__m256i*)(whole.data() + g * GROUP + i * LANES),
                            _mm512_cvtepi32_epi16(rounded));
      }
    }
  }
};

// Blocks [from, to) of 16 outputs: y (n,) float32.
static void multiply_one(const Row& x, const Matrix& w, int from, int to, float* y) {
  const int tiles = w.k / TILE_K, groups = w.k / GROUP;
  for (int block = from; block < to; block++) {
    __m512 sum = w.bias ? _mm512_loadu_ps(w.bias + block * TILE_N) : _mm512_setzero_ps();
    if (w.codes) {
      const int8_t* codes = w.codes + (size_t)block * tiles * TILE;
      const uint16_t* scales = w.scales + (size_t)block * groups * TILE_N;
      const int32_t* pairs = (const int32_t*)x.whole.data();
      for (int g = 0; g < groups; g++) {
        __m512i even = _mm512_setzero_si512(), odd = even;
        for (int r = 0; r < GROUP / 2; r += 2, codes += 64, pairs += 2) {
          _mm_prefetch((const char*)codes + 2048, _MM_HINT_T0);
          const __m512i one = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)codes));
          const __m512i two =
              _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)(codes + 32)));
          even = _mm512_dpwssd_epi32(even, one, _mm512_set1_epi32(pairs[0]));
          odd = _mm512_dpwssd_epi32(odd, two, _mm512_set1_epi32(pairs[1]));
        }
        const __m512 scale =
            _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(scales + g * TILE_N)));
        const __m512 own = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[g]));
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(even, odd)), own, sum);
      }
    } else {
      const bf16* weights = w.wide + (size_t)block * tiles * TILE;
      const int32_t* pairs = (const int32_t*)x.wide.data();
      __m512 sums[4] = {sum, _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
      for (int r = 0; r < w.k / 2; r += 4, weights += 128, pairs += 4) {
        _mm_prefetch((const char*)weights + 2048, _MM_HINT_T0);
        _mm_prefetch((const char*)weights + 2048 + 64, _MM_HINT_T0);
        _mm_prefetch((const char*)weights + 2048 + 128, _MM_HINT_T0);
        _mm_prefetch((const char*)weights + 2048 + 192, _MM_HINT_T0);
        for (int i = 0; i < 4; i++)
          sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)_mm512_loadu_si512(weights + 32 * i),
                                     (__m512bh)_mm512_set1_epi32(pairs[i]));
      }
      sum = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
    }
    _mm512_storeu_ps(y + block * TILE_N, sum);
  }
}
