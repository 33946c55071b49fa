// Attention over packed keys and values: a block of queries with matrix tiles, or a single one.
//
// Keys and values of a head are kept as the tiles that products take (amx.h): keys as a matrix of
// one output a key, values as one of one input a key. So nothing is packed again for a new token.
#pragma once
#include <cmath>

#include "amx.h"

constexpr int MOST_WIDE = 256;  // of a head

// The shape of a head: its width, filled up to a multiple of 32.
struct Head {
  int width, padded;
  explicit Head(int width) : width(width), padded(rounded_up(width, TILE_K)) {}
  int steps() const { return padded / TILE_K; }   // of inputs
  int blocks() const { return padded / TILE_N; }  // of outputs

  // x: (padded,) bfloat16, in memory that may be read as pairs.
  void store_key(bf16* keys, int at, const bf16* x) const {
    uint32_t* tile = (uint32_t*)(keys + (size_t)(at / TILE_N) * steps() * TILE) + at % TILE_N;
    const uint32_t* pairs = (const uint32_t*)x;
    for (int i = 0; i < padded / 2; i++) tile[i * TILE_N] = pairs[i];
  }

  void store_value(bf16* values, int at, const bf16* x) const {
    bf16* tile = values + (size_t)(at / TILE_K) * blocks() * TILE + at % TILE_K / 2 * 32 + at % 2;
    for (int d = 0; d < padded; d++) tile[d / TILE_N * TILE + d % TILE_N * 2] = x[d];
  }
};

constexpr float HIDDEN = -1e30f;  // a score nobody has
constexpr int KEYS =
    256;  // whose scores are held at once: those of 32 queries fill half of the first cache

// What a block of 32 queries needs while it is computed.
struct Scores {
  Space<float> raw;    // (32, KEYS), or all scores of a single query
  Space<bf16> shares;  // the same
  alignas(LINE) float mixed[BLOCK_M * MOST_WIDE];
  float most[BLOCK_M], sums[BLOCK_M];

  Scores() { fit(BLOCK_M * KEYS); }
  void fit(int count) {
    raw.fit(count);
    shares.fit(count);
  }
};

// Scores of 32 queries (a row every `stride`) with `count` keys, a multiple of 32.
static void score(const bf16* queries, int stride, const bf16* keys, int count, const Head& head,
                  float* raw) {
  const int steps = head.steps();
  written();
  for (int t = 0; t < count; t += PANEL) {
    const bf16 *b0 = keys + (size_t)t / TILE_N * steps * TILE, *b1 = b0 + (size_t)steps * TILE;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < steps; k++) {
      _tile_loadd(4, queries + k * TILE_K, stride * 2);
      _tile_loadd(6, b0 + k * TILE, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, b1 + k * TILE, 64);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, queries + (size_t)16 * stride + k * TILE_K, stride * 2);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, raw + t, KEYS * 4);
    _tile_stored(1, raw + t + 16, KEYS * 4);
    _tile_stored(2, raw + 16 * KEYS + t, KEYS * 4);
    _tile_stored(3, raw + 16 * KEYS + t + 16, KEYS * 4);
  }
}

// The largest of the first `seen` scores; what is behind them, up to a whole vector, is hidden.
static float largest(float* raw, int seen) {
  const __m512 lowest = _mm512_set1_ps(HIDDEN);
  if (seen % LANES)
    _mm512_mask_storeu_ps(raw + seen / LANES * LANES, (__mmask16)(0xffff << seen % LANES), lowest);
  __m512 most[4] = {lowest, lowest, lowest, lowest};
  int t = 0;
  for (; t + 64 <= seen; t += 64)
    for (int i = 0; i < 4; i++)
      most[i] = _mm512_max_ps(most[i], _mm512_load_ps(raw + t + i * LANES));
  for (; t < seen; t += LANES) most[0] = _mm512_max_ps(most[0], _mm512_load_ps(raw + t));
  return _mm512_reduce_max_ps(
      _mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3])));
}

// Scores to shares: 2 to the (score - most) * by, and 0 from `seen` to `count`. Returns their sum.
static float soften(const float* raw, bf16* shares, int seen, int count, float most, float by) {
  const __m512 scale = _mm512_set1_ps(by), top = _mm512_set1_ps(by * most);
  __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  int t = 0;
  for (; t < seen; t += 32)
    for (int i = 0; i < 32; i += LANES) {
      if (t + i >= seen) {
        narrow(shares + t + i, _mm512_setzero_ps());
        continue;
      }
      const __m512 share = exp2_of(_mm512_fmsub_ps(_mm512_load_ps(raw + t + i), scale, top));
      sums[i / LANES] = _mm512_add_ps(sums[i / LANES], share);
      narrow(shares + t + i, share);
    }
  for (; t < count; t += LANES) narrow(shares + t, _mm512_setzero_ps());
  return _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]));
}

// Adds what 32 queries take from `count` values to `mixed`, (32, 32) for each 32 columns of a head.
static void mix(const bf16* shares, const bf16* values, int count, const Head& head, bool fresh,
                float* mixed) {
  written();
  for (int d = 0; d < head.blocks(); d += 2) {
    const Block block{mixed + d / 2 * BLOCK_M * PANEL, true};
    block.begin(fresh);
    const size_t step = (size_t)head.blocks() * TILE;
    for (int t = 0; t < count; t += TILE_K) {
      const bf16* b = values + t / TILE_K * step + d * TILE;
      _tile_loadd(4, shares + t, KEYS * 2);
      _tile_loadd(6, b, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, b + TILE, 64);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, shares + 16 * KEYS + t, KEYS * 2);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    block.end();
  }
}

// Attention of `rows` <= 32 queries. Query r sees the first `seen + r * further` keys: further is 1
// where a token sees what came before it, and 0 where all see all. Memory of queries, keys and
// values has to reach to whole blocks of 32. Keys are taken some at a time, so that scores never
// leave the first cache; what was mixed before shrinks when a larger score comes.
static void attend(const bf16* queries, int stride, int rows, const bf16* keys, const bf16* values,
                   int seen, int further, const Head& head, Scores& s, bf16* to, int to_stride) {
  const int all = seen + further * (rows - 1);
  const float by = LOG2_E / std::sqrt((float)head.width);
  float* raw = s.raw.data();
  bf16* shares = s.shares.data();
  for (int first = 0; first < all; first += KEYS) {
    const int count = std::min(KEYS, rounded_up(all - first, PANEL));
    score(queries, stride, keys + (size_t)first * head.padded, count, head, raw);
    // What other rows of the block hold is multiplied, and never looked at.
    float before[BLOCK_M];
    int own[BLOCK_M];
    for (int r = 0; r < rows; r++) {
      own[r] = std::min(count, std::max(0, seen + further * r - first));
      before[r] = first ? s.most[r] : HIDDEN;
      s.most[r] = std::max(before[r], largest(raw + r * KEYS, own[r]));
    }
    for (int r = 0; r < rows; r++) {
      const float sum = soften(raw + r * KEYS, shares + r * KEYS, own[r], count, s.most[r], by);
      const float shrink = before[r] == s.most[r] ? 1.0f : std::exp2((before[r] - s.most[r]) * by);
      s.sums[r] = first ? s.sums[r] * shrink + sum : sum;
      if (!first || shrink == 1.0f) continue;
      for (int d = 0; d < head.padded; d += LANES) {
        float* at = s.mixed + (d / PANEL * BLOCK_M + r) * PANEL + d % PANEL;
        _mm512_store_ps(at, _mm512_mul_ps(_mm512_load_ps(at), _mm512_set1_ps(shrink)));
      }
    }
    mix(shares, values + (size_t)first * head.padded, count, head, first == 0, s.mixed);
  }
  for (int r = 0; r < rows; r++)
    for (int d = 0; d < head.width; d += LANES) {
      const __mmask16 inside =
          (__mmask16)(head.width - d >= LANES ? 0xffff : (1 << (head.width - d)) - 1);
      const __m512 y = _mm512_load_ps(s.mixed + (d / PANEL * BLOCK_M + r) * PANEL + d % PANEL);
      _mm256_mask_storeu_epi16(
          to + (size_t)r * to_stride + d, inside,
          (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(y, _mm512_set1_ps(1.0f / s.sums[r]))));
    }
}

// Attention of a single query, bfloat16 (padded,), that sees the first `seen` keys: to (width,).
static void attend_one(const bf16* query, const bf16* keys, const bf16* values, int seen,
                       const Head& head, Scores& s, float* to) {
  const int count = rounded_up(seen, PANEL), steps = head.steps();
  s.fit(count);
  float* raw = s.raw.data();
  const int32_t* pairs = (const int32_t*)query;
  for (int t = 0; t < count; t += TILE_N) {
    const bf16* tile = keys + (size_t)t / TILE_N * steps * TILE;
    __m512 even = _mm512_setzero_ps(), odd = even;
    for (int r = 0; r < steps * 16; r += 2) {
      even = _mm512_dpbf16_ps(even, (__m512bh)_mm512_loadu_si512(tile + r * 32),
                              (__m512bh)_mm512_set1_epi32(pairs[r]));
      odd = _mm512_dpbf16_ps(odd, (__m512bh)_mm512_loadu_si512(tile + r * 32 + 32),
                             (__m512bh)_mm512_set1_epi32(pairs[r + 1]));
    }
    _mm512_store_ps(raw + t, _mm512_add_ps(even, odd));
  }
  const float by = LOG2_E / std::sqrt((float)head.width);
  const float sum = soften(raw, s.shares.data(), seen, count, largest(raw, seen), by);
  const int32_t* shares = (const int32_t*)s.shares.data();
  for (int d = 0; d < head.blocks(); d++) {
    __m512 even = _mm512_setzero_ps(), odd = even;
    for (int t = 0; t < count; t += TILE_K) {
      const bf16* tile = values + ((size_t)t / TILE_K * head.blocks() + d) * TILE;
      for (int r = 0; r < 16; r += 2) {
        even = _mm512_dpbf16_ps(even, (__m512bh)_mm512_loadu_si512(tile + r * 32),
                                (__m512bh)_mm512_set1_epi32(shares[t / 2 + r]));
        odd = _mm512_dpbf16_ps(odd, (__m512bh)_mm512_loadu_si512(tile + r * 32 + 32),
                               (__m512bh)_mm512_set1_epi32(shares[t / 2 + r + 1]));
      }
    }
    const int wide = head.width - d * TILE_N;
    if (wide <= 0) break;
    const __mmask16 inside = (__mmask16)(wide >= LANES ? 0xffff : (1 << wide) - 1);
    _mm512_mask_storeu_ps(to + d * TILE_N, inside,
                          _mm512_mul_ps(_mm512_add_ps(even, odd), _mm512_set1_ps(1.0f / sum)));
  }
}
