// A few rows times packed codes: what writing the next token of some conversations consists of. It
// takes as long as reading the weights does, so the codes are multiplied as they are.
//
// A row is held in whole numbers of 14 bits and a scale for every 64: finer than bfloat16, and 64
// codes times 14 bits fit into 32 with room.
#pragma once
#include "amx.h"

constexpr float MOST = 8191.0f;
constexpr int FEW = 16;      // rows, from which unpacking the codes for tiles is the quicker way
constexpr int TOGETHER = 4;  // rows that share the reading of a code

struct WholeRows {
  Space<int16_t> values;  // (rows, k)
  Space<float> scales;    // (rows, k / GROUP)
  int k = 0;

  void fit(int rows, int inputs) {
    k = inputs;
    values.fit((size_t)rows * k);
    scales.fit((size_t)rows * k / GROUP);
  }

  // Row r, from k numbers, a multiple of 64, that `load(i)` gives 16 at a time.
  template <class Load>
  void set(int r, Load&& load) {
    for (int g = 0; g < k / GROUP; g++) {
      __m512 part[GROUP / LANES], most = _mm512_set1_ps(1e-30f);
      for (int i = 0; i < GROUP / LANES; i++) {
        part[i] = load(g * GROUP + i * LANES);
        most = _mm512_max_ps(most, _mm512_abs_ps(part[i]));
      }
      const float largest = _mm512_reduce_max_ps(most);
      scales[(size_t)r * (k / GROUP) + g] = largest / MOST;
      const __m512 by = _mm512_set1_ps(MOST / largest);
      int16_t* to = values.data() + (size_t)r * k + g * GROUP;
      for (int i = 0; i < GROUP / LANES; i++) {
        const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(part[i], by));
        _mm256_storeu_si256((__m256i*)(to + i * LANES), _mm512_cvtepi32_epi16(whole));
      }
    }
  }
};

// 16 outputs of rows [first, first + COUNT): to, 16 numbers every `stride`.
template <int COUNT>
static void multiply_codes(const WholeRows& x, int first, const Matrix& w, int block, float* to,
                           int stride) {
  const int groups = w.k / GROUP;
  const int8_t* codes = w.codes + (size_t)block * w.k * TILE_N;
  const uint16_t* scales = w.scales + (size_t)block * groups * TILE_N;
  const int32_t* pairs[COUNT];
  __m512 sums[COUNT];
  for (int r = 0; r < COUNT; r++) {
    pairs[r] = (const int32_t*)(x.values.data() + (size_t)(first + r) * w.k);
    sums[r] = w.bias ? _mm512_loadu_ps(w.bias + block * TILE_N) : _mm512_setzero_ps();
  }
  for (int g = 0; g < groups; g++) {
    __m512i even[COUNT], odd[COUNT];
    for (int r = 0; r < COUNT; r++) even[r] = odd[r] = _mm512_setzero_si512();
    for (int i = 0; i < GROUP / 2; i += 2, codes += 64) {
      _mm_prefetch((const char*)codes + 2048, _MM_HINT_T0);
      const __m512i one = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)codes));
      const __m512i two = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)(codes + 32)));
      for (int r = 0; r < COUNT; r++) {
        even[r] = _mm512_dpwssd_epi32(even[r], one, _mm512_set1_epi32(pairs[r][i]));
        odd[r] = _mm512_dpwssd_epi32(odd[r], two, _mm512_set1_epi32(pairs[r][i + 1]));
      }
    }
    const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(scales + g * TILE_N)));
    for (int r = 0; r < COUNT; r++) {
      pairs[r] += GROUP / 2;
      const float own = x.scales[(size_t)(first + r) * groups + g];
      const __m512 whole = _mm512_cvtepi32_ps(_mm512_add_epi32(even[r], odd[r]));
      sums[r] = _mm512_fmadd_ps(whole, _mm512_mul_ps(scale, _mm512_set1_ps(own)), sums[r]);
    }
  }
  for (int r = 0; r < COUNT; r++) _mm512_storeu_ps(to + (size_t)r * stride, sums[r]);
}

// 16 outputs of all rows: to, 16 numbers every `stride`.
static void multiply_block(const WholeRows& x, int rows, const Matrix& w, int block, float* to,
                           int stride) {
  int r = 0;
  for (; r + TOGETHER <= rows; r += TOGETHER)
    multiply_codes<TOGETHER>(x, r, w, block, to + (size_t)r * stride, stride);
  if (rows - r == 3) multiply_codes<3>(x, r, w, block, to + (size_t)r * stride, stride);
  if (rows - r == 2) multiply_codes<2>(x, r, w, block, to + (size_t)r * stride, stride);
  if (rows - r == 1) multiply_codes<1>(x, r, w, block, to + (size_t)r * stride, stride);
}

// As `multiply` of amx.h, for at most FEW rows and codes.
template <class Done>
void multiply_few(const bf16* a, int stride, int rows, const Matrix& w, int from, int to,
                  Done&& done) {
  static thread_local WholeRows whole;
  alignas(LINE) float block[FEW * PANEL];
  whole.fit(rows, w.k);
  for (int r = 0; r < rows; r++)
    whole.set(r, [&](int i) { return widen(a + (size_t)r * stride + i); });
  for (int panel = from; panel < to; panel++) {
    for (int half = 0; half < 2; half++)
      multiply_block(whole, rows, w, 2 * panel + half, block + half * TILE_N, PANEL);
    done(0, panel * PANEL, block, rows);
  }
}
