// Attention in training: every row of a tile sees every other one, forward and backward.
//
// Queries, keys and values are read as the projections leave them, (rows, heads * width) bfloat16,
// and never transposed in memory. Forward keeps the logarithm of each query's sum; backward
// computes the shares again from it, once by blocks of keys, for the gradients of keys and values,
// and once by blocks of queries. rows: a multiple of 32; width: of 32, at most MOST_WIDE.
#pragma once
#include "attention.h"

// x (count, width), a row every `stride`, as tiles of one output a row: `Head::store_key` of all.
static void pack_rows(const bf16* x, int stride, int count, const Head& head, bf16* to) {
  for (int t = 0; t < count; t += TILE_N)
    for (int d = 0; d < head.padded; d += TILE_K, to += TILE)
      for (int r = 0; r < TILE_N; r++) {
        const uint32_t* pairs = (const uint32_t*)(x + (size_t)(t + r) * stride + d);
        for (int i = 0; i < TILE_K / 2; i++) ((uint32_t*)to)[i * TILE_N + r] = pairs[i];
      }
}

// The same as tiles of one input a row: `Head::store_value` of all.
static void pack_inputs(const bf16* x, int stride, int count, const Head& head, bf16* to) {
  for (int t = 0; t < count; t += TILE_K)
    for (int d = 0; d < head.padded; d += TILE_N)
      for (int r = 0; r < TILE_K; r += 2, to += 32) {
        const bf16* row = x + (size_t)(t + r) * stride + d;
        const __m512i even = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)row)),
                      odd =
                          _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)(row + stride)));
        _mm512_store_si512((__m512i*)to, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
      }
}

// One head of one tile, as the backward pass needs it. logs: log2 of each query's sum of shares.
struct HeadBack {
  const bf16 *queries, *keys, *values, *mixed, *grad;
  const float* logs;
  bf16 *to_queries, *to_keys, *to_values;
  int rows, stride;

  struct Packed {
    Space<bf16> queries_out, queries_in, keys_out, keys_in, values_out, grad_out, grad_in;
    Space<float> along, raw, raw_grad;  // along: each query's gradient along what it got
    Space<bf16> shares, slopes;
    alignas(LINE) float mixed[2][BLOCK_M * MOST_WIDE];
  };

  void run(const Head& head, Packed& p) const {
    const size_t all = (size_t)rows * head.padded;
    const auto pack = [&](const bf16* x, Space<bf16>& out, Space<bf16>* in) {
      pack_rows(x, stride, rows, head, out.fit(all));
      if (in) pack_inputs(x, stride, rows, head, in->fit(all));
    };
    pack(queries, p.queries_out, &p.queries_in);
    pack(keys, p.keys_out, &p.keys_in);
    pack(grad, p.grad_out, &p.grad_in);
    pack(values, p.values_out, nullptr);
    p.along.fit(rows);
    for (int r = 0; r < rows; r++) p.along.data()[r] = product(r, head.width);
    for (auto* space : {&p.raw, &p.raw_grad}) space->fit(BLOCK_M * KEYS);
    for (auto* space : {&p.shares, &p.slopes}) space->fit(BLOCK_M * KEYS);
    for (int at = 0; at < rows; at += BLOCK_M) {
      of_keys(at, head, p);
      of_queries(at, head, p);
    }
  }

 private:
  float product(int row, int width) const {
    __m512 sum = _mm512_setzero_ps();
    for (int d = 0; d < width; d += LANES)
      sum = _mm512_fmadd_ps(widen(grad + (size_t)row * stride + d),
                            widen(mixed + (size_t)row * stride + d), sum);
    return _mm512_reduce_add_ps(sum);
  }

  // Gradients of 32 keys and values: blocks of (keys, queries).
  void of_keys(int at, const Head& head, Packed& p) const {
    for (int first = 0; first < rows; first += KEYS) {
      const int count = std::min(KEYS, rows - first);
      const size_t skip = (size_t)first * head.padded;
      score(keys + (size_t)at * stride, stride, p.queries_out.data() + skip, count, head,
            p.raw.data());
      score(values + (size_t)at * stride, stride, p.grad_out.data() + skip, count, head,
            p.raw_grad.data());
      for (int r = 0; r < BLOCK_M; r++)
        for (int t = 0; t < count; t += LANES)
          slopes(r * KEYS + t, _mm512_loadu_ps(logs + first + t),
                 _mm512_loadu_ps(p.along.data() + first + t), head, p);
      mix(p.shares.data(), p.grad_in.data() + skip, count, head, !first, p.mixed[0]);
      mix(p.slopes.data(), p.queries_in.data() + skip, count, head, !first, p.mixed[1]);
    }
    store(p.mixed[0], to_values, at, 1.0f, head);
    store(p.mixed[1], to_keys, at, scale(head), head);
  }

  // Gradients of 32 queries: blocks of (queries, keys).
  void of_queries(int at, const Head& head, Packed& p) const {
    for (int first = 0; first < rows; first += KEYS) {
      const int count = std::min(KEYS, rows - first);
      const size_t skip = (size_t)first * head.padded;
      score(queries + (size_t)at * stride, stride, p.keys_out.data() + skip, count, head,
            p.raw.data());
      score(grad + (size_t)at * stride, stride, p.values_out.data() + skip, count, head,
            p.raw_grad.data());
      for (int r = 0; r < BLOCK_M; r++) {
        const __m512 log = _mm512_set1_ps(logs[at + r]),
                     along = _mm512_set1_ps(p.along.data()[at + r]);
        for (int t = 0; t < count; t += LANES) slopes(r * KEYS + t, log, along, head, p);
      }
      mix(p.slopes.data(), p.keys_in.data() + skip, count, head, !first, p.mixed[0]);
    }
    store(p.mixed[0], to_queries, at, scale(head), head);
  }

  static float scale(const Head& head) { return 1.0f / std::sqrt((float)head.width); }

  // Shares from scores, and the gradients of scores from those of shares.
  static void slopes(int i, __m512 log, __m512 along, const Head& head, Packed& p) {
    const __m512 by = _mm512_set1_ps(LOG2_E * scale(head));
    const __m512 share = exp2_of(_mm512_fmsub_ps(_mm512_load_ps(p.raw.data() + i), by, log));
    narrow(p.shares.data() + i, share);
    narrow(p.slopes.data() + i,
           _mm512_mul_ps(share, _mm512_sub_ps(_mm512_load_ps(p.raw_grad.data() + i), along)));
  }

  void store(const float* from, bf16* to, int at, float by, const Head& head) const {
    for (int r = 0; r < BLOCK_M; r++)
      for (int d = 0; d < head.width; d += LANES)
        narrow(to + (size_t)(at + r) * stride + d,
               _mm512_mul_ps(_mm512_load_ps(from + (d / PANEL * BLOCK_M + r) * PANEL + d % PANEL),
                             _mm512_set1_ps(by)));
  }
};

// One head of one tile forward: what each query gets, and its logarithm.
static void attend_all(const bf16* queries, const bf16* keys, const bf16* values, int rows,
                       int stride, const Head& head, Scores& s, bf16* to, float* logs) {
  static thread_local Space<bf16> keys_out, values_in;
  pack_rows(keys, stride, rows, head, keys_out.fit((size_t)rows * head.padded));
  pack_inputs(values, stride, rows, head, values_in.fit((size_t)rows * head.padded));
  const float by = LOG2_E / std::sqrt((float)head.width);
  for (int at = 0; at < rows; at += BLOCK_M) {
    const size_t own = (size_t)at * stride;
    attend(queries + own, stride, BLOCK_M, keys_out.data(), values_in.data(), rows, 0, head, s,
           to + own, stride);
    for (int r = 0; r < BLOCK_M; r++) logs[at + r] = s.most[r] * by + std::log2(s.sums[r]);
  }
}
