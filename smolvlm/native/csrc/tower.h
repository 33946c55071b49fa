// Tiles to visual tokens: tower, pixel shuffle and projection, one tile after another.
#pragma once
#include "attention.h"
#include "layers.h"

struct TowerLayer {
  const float *norm1, *norm1_bias, *norm2, *norm2_bias;
  Matrix qkv, out, up, down;
};

struct TowerShape {
  int side, patch, grid, width, heads, layers, inner, shuffle, tokens_width;
  float eps;
};

struct Tower {
  TowerShape shape;
  const float* centre;     // (3,) subtracted from pixels
  const float* positions;  // (patches, width): position, bias and shift of each patch
  Matrix embed;
  const TowerLayer* layers;
  const float *norm, *norm_bias;
  Matrix projection;

  // Buffers, of one run at a time; rows are patches.
  std::mutex busy;
  Rows normed, queries, mixed, hidden, shuffled;
  Space<float> x;
  Space<bf16> keys, values;

  void fit() {
    const int count = shape.grid * shape.grid, padded = rounded_up(count, BLOCK_M);
    const Head head(shape.width / shape.heads);
    normed.fit(count, std::max(shape.width, 3 * shape.patch * shape.patch));
    queries.fit(count, shape.heads * head.padded);
    mixed.fit(count, shape.width);
    hidden.fit(count, shape.inner);
    shuffled.fit(count / (shape.shuffle * shape.shuffle),
                 shape.width * shape.shuffle * shape.shuffle);
    x.fit((size_t)padded * shape.width);
    keys.fit((size_t)shape.heads * padded * head.padded);
    values.fit((size_t)shape.heads * padded * head.padded);
  }

  // tile (S, S, 3) -> to (tokens, tokens_width). Called by every thread of the team.
  void run(const uint8_t* tile, float* to, Team team, Scores& scores) {
    const int count = shape.grid * shape.grid, width = shape.width;
    const Work work(team, count);
    const Range own = work.own();
    for (int p = own.from; p < own.to; p++) cut(tile, p);
    work.meet();
    linear(work, normed, embed, [&](int m, int column, const float* block, int rows) {
      for (int r = 0; r < rows; r++)
        for (int c = 0; c < PANEL && column + c < width; c += LANES) {
          const size_t at = (size_t)(m + r) * width + column + c;
          _mm512_storeu_ps(&x[at], _mm512_add_ps(_mm512_loadu_ps(block + r * PANEL + c),
                                                 _mm512_loadu_ps(positions + at)));
        }
    });
    for (int i = 0; i < shape.layers; i++) layer(work, layers[i], scores);
    for (int p = own.from; p < own.to; p++) shuffle(p);
    team.wait();
    project(Work(team, count / (shape.shuffle * shape.shuffle)), to);
    team.wait();
  }

 private:
  // The pixels of a patch, row by row, less the centre: whole numbers, which bfloat16 holds
  // exactly.
  void cut(const uint8_t* tile, int p) {
    const int line = shape.side * 3, wide = shape.patch * 3;
    const uint8_t* from =
        tile + (size_t)(p / shape.grid) * shape.patch * line + (p % shape.grid) * wide;
    bf16* to = normed.row(p);
    for (int y = 0; y < shape.patch; y++, from += line)
      for (int i = 0; i < wide; i++) *to++ = narrow_one((float)from[i] - centre[i % 3]);
    std::fill(to, normed.row(p) + embed.k, 0);
  }

  void layer(const Work& work, const TowerLayer& weights, Scores& scores) {
    const int width = shape.width;
    const Range own = work.own();
    for (int p = own.from; p < own.to; p++)
      layer_norm(&x[(size_t)p * width], weights.norm1, weights.norm1_bias, width, shape.eps,
                 normed.row(p));
    work.meet();
    linear(work, normed, weights.qkv, [&](int m, int column, const float* block, int rows) {
      spread(weights.qkv, m, column, block, rows);
    });
    work.team.wait();
    look(work, scores);
    work.team.wait();
    linear(work, mixed, weights.out, [&](int m, int column, const float* block, int rows) {
      add(weights.out, m, column, block, rows);
    });
    for (int p = own.from; p < own.to; p++)
      layer_norm(&x[(size_t)p * width], weights.norm2, weights.norm2_bias, width, shape.eps,
                 normed.row(p));
    work.meet();
    linear(work, normed, weights.up, [&](int m, int column, const float* block, int rows) {
      for (int r = 0; r < rows; r++)
        for (int c = 0; c < PANEL; c += LANES)
          narrow(hidden.row(m + r) + column + c, gelu(biased(weights.up, block, column, r, c)));
    });
    linear(work, hidden, weights.down, [&](int m, int column, const float* block, int rows) {
      add(weights.down, m, column, block, rows);
    });
  }

  void add(const Matrix& w, int m, int column, const float* block, int rows) {
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < PANEL && column + c < shape.width; c += LANES) {
        float* at = &x[(size_t)(m + r) * shape.width + column + c];
        _mm512_storeu_ps(at, _mm512_add_ps(_mm512_loadu_ps(at), biased(w, block, column, r, c)));
      }
  }

  // A block of queries, keys and values to where attention wants them; heads are 16 wide or wider,
  // and stand in the matrix filled up as in memory, so a block of 32 columns is of one head.
  void spread(const Matrix& w, int m, int column, const float* block, int rows) {
    const Head head(shape.width / shape.heads);
    const int all = shape.heads * head.padded, part = column / all, at = column % all;
    const int padded = rounded_up(shape.grid * shape.grid, BLOCK_M), h = at / head.padded,
              d = at % head.padded;
    if (part == 0) {
      for (int r = 0; r < rows; r++)
        for (int c = 0; c < PANEL; c += LANES)
          narrow(queries.row(m + r) + at + c, biased(w, block, column, r, c));
      return;
    }
    bf16* own = (part == 1 ? keys : values).data() + (size_t)h * padded * head.padded;
    alignas(64) uint32_t pairs[2 * LANES];
    if (part == 1) {  // 16 keys a tile; a row of it holds two inputs of each key
      for (int r = 0; r < rows; r++) {
        for (int c = 0; c < PANEL; c += LANES)
          narrow((bf16*)pairs + c, biased(w, block, column, r, c));
        const int key = m + r;
        uint32_t* tile =
            (uint32_t*)(own + ((size_t)(key / TILE_N) * head.steps() + d / 32) * TILE) +
            key % TILE_N;
        for (int i = 0; i < TILE_K / 2; i++) tile[i * TILE_N] = pairs[i];
      }
      return;
    }
    for (int r = 0; r < rows; r += 2)  // values: a row of a tile holds two keys of each output
      for (int c = 0; c < PANEL; c += LANES) {
        const __m512 none = _mm512_setzero_ps();
        const __m512 one = biased(w, block, column, r, c);
        const __m512 two = r + 1 < rows ? biased(w, block, column, r + 1, c) : none;
        const __m512i low = _mm512_srli_epi32(rounded(one), 16);
        const __m512i high = _mm512_and_si512(rounded(two), _mm512_set1_epi32((int)0xffff0000));
        bf16* tile = own + ((size_t)((m + r) / TILE_K) * head.blocks() + (d + c) / TILE_N) * TILE;
        _mm512_storeu_si512(tile + (m + r) % TILE_K / 2 * 32, _mm512_or_si512(low, high));
      }
  }

  // The bits of float32 whose upper half is the nearest bfloat16.
  static __m512i rounded(__m512 x) {
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)), 16);
  }

  void look(const Work& work, Scores& scores) {
    const int count = shape.grid * shape.grid, padded = rounded_up(count, BLOCK_M),
              blocks = padded / BLOCK_M;
    const Head head(shape.width / shape.heads);
    const Range own = work.team.share(shape.heads * blocks);
    for (int task = own.from; task < own.to; task++) {
      const int h = task / blocks, m = task % blocks * BLOCK_M;
      const size_t at = (size_t)h * padded * head.padded;
      attend(queries.row(m) + h * head.padded, queries.stride, std::min(BLOCK_M, count - m),
             &keys[at], &values[at], count, 0, head, scores, mixed.row(m) + h * head.width,
             mixed.stride);
    }
  }

  // The last norm of patch p, written to its place in a visual token.
  void shuffle(int p) {
    const int s = shape.shuffle, row = p / shape.grid, column = p % shape.grid;
    bf16* token = shuffled.row(row / s * (shape.grid / s) + column / s);
    layer_norm(&x[(size_t)p * shape.width], norm, norm_bias, shape.width, shape.eps,
               token + (row % s * s + column % s) * shape.width);
  }

  void project(const Work& work, float* to) {
    const int wide = shape.tokens_width;
    linear(work, shuffled, projection, [&](int m, int column, const float* block, int rows) {
      for (int r = 0; r < rows; r++)
        for (int c = 0; c < PANEL && column + c < wide; c += LANES)
          _mm512_storeu_ps(to + (size_t)(m + r) * wide + column + c,
                           _mm512_loadu_ps(block + r * PANEL + c));
    });
  }
};
