// What tower and decoder share: buffers, norms, and a linear layer over the rows of a batch.
#pragma once
#include "few.h"
#include "team.h"

// Rows of bfloat16 for products. The stride is no power of two, or all rows of a tile would meet in
// the same few lines of the cache; rows reach to a whole block, columns to a whole tile.
struct Rows {
  Space<bf16> held;
  int stride = 0;

  void fit(int rows, int width) {
    const int wanted = rounded_up(width, GROUP) + 32;
    stride = wanted;
    held.fit((size_t)rounded_up(rows, BLOCK_M) * wanted);
  }
  bf16* row(int m) { return held.data() + (size_t)m * stride; }
};

// How the rows of a batch are divided: many by rows, each thread on its own for all of them; few by
// the outputs of a layer, and everybody waits for everybody after each.
struct Work {
  Team team;
  int rows;
  bool apart;

  Work(Team team, int rows) : team(team), rows(rows), apart(rows >= 2 * BLOCK_M * team.size) {}
  Range own() const { return apart ? team.rows(rows, BLOCK_M) : team.share(rows); }
  void meet() const {
    if (!apart) team.wait();
  }
};

template <class Done>
void linear(const Work& work, Rows& a, const Matrix& w, Done&& done) {
  if (work.apart) {
    const Range own = work.own();
    multiply(a.held.data(), a.stride, own.from, own.to, w, 0, w.n / PANEL, done);
    return;
  }
  const Range own = work.team.share(w.n / PANEL);
  if (w.codes && work.rows <= FEW)
    multiply_few(a.held.data(), a.stride, work.rows, w, own.from, own.to, done);
  else
    multiply(a.held.data(), a.stride, 0, work.rows, w, own.from, own.to, done);
  work.team.wait();
}

// block + bias, at columns [column, column + 32).
static inline __m512 biased(const Matrix& w, const float* block, int column, int r, int c) {
  const __m512 y = _mm512_loadu_ps(block + r * PANEL + c);
  return w.bias ? _mm512_add_ps(y, _mm512_loadu_ps(w.bias + column + c)) : y;
}

// to = x / rms(x) * weight, float32 (width,), width a multiple of 16.
template <class Store>
void rms_norm(const float* x, const float* weight, int width, float eps, Store&& store) {
  __m512 sum = _mm512_setzero_ps();
  for (int i = 0; i < width; i += LANES) {
    const __m512 v = _mm512_loadu_ps(x + i);
    sum = _mm512_fmadd_ps(v, v, sum);
  }
  const __m512 by = _mm512_set1_ps(1.0f / std::sqrt(_mm512_reduce_add_ps(sum) / width + eps));
  for (int i = 0; i < width; i += LANES)
    store(i, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(x + i), by), _mm512_loadu_ps(weight + i)));
}

// to = (x - mean) / deviation * weight + bias, bfloat16.
static void layer_norm(const float* x, const float* weight, const float* bias, int width, float eps,
                       bf16* to) {
  __m512 sum = _mm512_setzero_ps(), squares = sum;
  for (int i = 0; i < width; i += LANES) sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + i));
  const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / width);
  for (int i = 0; i < width; i += LANES) {
    const __m512 v = _mm512_sub_ps(_mm512_loadu_ps(x + i), mean);
    squares = _mm512_fmadd_ps(v, v, squares);
  }
  const __m512 by = _mm512_set1_ps(1.0f / std::sqrt(_mm512_reduce_add_ps(squares) / width + eps));
  for (int i = 0; i < width; i += LANES) {
    const __m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), mean), by);
    narrow(to + i, _mm512_fmadd_ps(v, _mm512_loadu_ps(weight + i), _mm512_loadu_ps(bias + i)));
  }
}
