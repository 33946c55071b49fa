// Vectors of 16 floats: bfloat16 in and out, powers of two, the two activations.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

typedef uint16_t bf16;  // the bits: the upper half of a float's

constexpr int LANES = 16;
constexpr float LOG2_E = 1.4426950408889634f;

static inline int rounded_up(int count, int to) { return (count + to - 1) / to * to; }

static inline __m512 widen(const bf16* x) {
  const __m256i bits = _mm256_loadu_si256((const __m256i*)x);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

static inline void narrow(bf16* to, __m512 x) {
  _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(x));
}

static inline bf16 narrow_one(float x) {
  return (bf16)_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(x)), 0);
}

// 2 to the x, for x up to 127; relative error 1e-4, a fortieth of what rounding to bfloat16 costs.
static inline __m512 exp2_of(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 part = _mm512_sub_ps(x, whole);  // -0.5 .. 0.5
  __m512 y = _mm512_fmadd_ps(part, _mm512_set1_ps(0.05500894f), _mm512_set1_ps(0.24221097f));
  y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(0.69328292f));
  y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(y, whole);
}

// x / (1 + e^-t), with t given times log2 e; relative error 1e-4, a fortieth of bfloat16's.
static inline __m512 gated(__m512 x, __m512 t) {
  const __m512 e =
      exp2_of(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_max_ps(t, _mm512_set1_ps(-120.0f))));
  return _mm512_mul_ps(x, _mm512_rcp14_ps(_mm512_add_ps(e, _mm512_set1_ps(1.0f))));
}

static inline __m512 silu(__m512 x) { return gated(x, _mm512_mul_ps(x, _mm512_set1_ps(LOG2_E))); }

// The tanh form: tanh(t) is 2 sigmoid(2 t) - 1, so that half of x (1 + tanh t) is x sigmoid(2 t).
static inline __m512 gelu(__m512 x) {
  const float twice = 2.0f * 0.7978845608028654f * LOG2_E;
  const __m512 square = _mm512_mul_ps(x, x);
  const __m512 slope =
      _mm512_fmadd_ps(square, _mm512_set1_ps(0.044715f * twice), _mm512_set1_ps(twice));
  return gated(x, _mm512_mul_ps(x, slope));
}
