// The language model: rows of new tokens of some conversations in, logits out.
//
// Conversations have keys and values of their own; everything else is computed for all rows
// together, so that weights are read once, whatever the number of conversations. A single row takes
// a way of its own (single.h).
#pragma once
#include "attention.h"
#include "layers.h"
#include "single.h"

struct DecoderLayer {
  const float *norm1, *norm2;
  Matrix qkv, out, gate_up, down;  // gate_up: 16 gates, 16 ups, and so on
};

struct DecoderShape {
  int width, heads, kv_heads, head_width, layers, inner, vocabulary;
  float eps;
};

// New tokens of one conversation. keys, values: (layers, kv_heads, capacity * padded width) in the
// order of attention.h, of which the first `past` tokens are held.
struct Segment {
  bf16 *keys, *values;
  int capacity, past, count;
  int first_wanted;  // the first new token whose logits are wanted
};

struct Decoder {
  DecoderShape shape;
  const float *cosines, *sines;  // (positions, head_width / 2)
  const DecoderLayer* layers;
  const float* norm;
  Matrix head;

  std::mutex busy;  // buffers are of one run at a time
  Pace pace;        // of runs of a few rows
  Rows normed, queries, mixed, hidden;
  Space<float> x, y, taken, gated_row;  // the last two: of a single row

  void fit(int rows) {
    const Head head_shape(shape.head_width);
    normed.fit(rows, shape.width);
    queries.fit(rows, shape.heads * head_shape.padded);
    mixed.fit(rows, shape.heads * shape.head_width);
    hidden.fit(rows, shape.inner);
    x.fit((size_t)rows * rounded_up(shape.width, GROUP));
    y.fit(std::max((size_t)rows * layers[0].qkv.n, (size_t)layers[0].gate_up.n));
    taken.fit(rounded_up(shape.heads * shape.head_width, GROUP));
    gated_row.fit(layers[0].down.k);
  }

  // Called by every thread of the team, after `fit` and after x was filled.
  void run(const Segment* segments, int count, int rows, float* logits, Team team, Scores& scores) {
    if (rows == 1) return run_one(segments[0], logits, team, scores);
    const Work work(team, rows);
    for (int i = 0; i < shape.layers; i++) layer(work, i, segments, count, scores);
    team.wait();
    int wanted = 0, row = 0;
    for (int s = 0; s < count; row += segments[s++].count)
      for (int r = segments[s].first_wanted; r < segments[s].count; r++, wanted++)
        if (wanted % team.size == team.rank) norm_row(norm, row + r, wanted);
    team.wait();
    linear(Work(team, wanted), normed, head, [&](int m, int column, const float* block, int held) {
      const int inside = std::min(PANEL, shape.vocabulary - column);
      for (int r = 0; r < held && inside > 0; r++)
        memcpy(logits + (size_t)(m + r) * shape.vocabulary + column, block + r * PANEL, inside * 4);
    });
    team.wait();
  }

 private:
  int row_width() const { return rounded_up(shape.width, GROUP); }
  float* row(int m) { return &x[(size_t)m * row_width()]; }

  void norm_row(const float* weight, int from, int to) {
    bf16* line = normed.row(to);
    rms_norm(row(from), weight, shape.width, shape.eps,
             [&](int i, __m512 v) { narrow(line + i, v); });
  }

  void add(const Matrix& w, int m, int column, const float* block, int rows) {
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < PANEL && column + c < shape.width; c += LANES) {
        float* at = row(m + r) + column + c;
        _mm512_storeu_ps(at, _mm512_add_ps(_mm512_loadu_ps(at), biased(w, block, column, r, c)));
      }
  }

  void layer(const Work& work, int index, const Segment* segments, int count, Scores& scores) {
    const DecoderLayer& weights = layers[index];
    const Range own = work.own();
    for (int m = own.from; m < own.to; m++) norm_row(weights.norm1, m, m);
    work.meet();
    const int wide = weights.qkv.n;
    linear(work, normed, weights.qkv, [&](int m, int column, const float* block, int rows) {
      for (int r = 0; r < rows; r++)
        memcpy(&y[(size_t)(m + r) * wide + column], block + r * PANEL, PANEL * 4);
    });
    place(own, index, segments);
    work.team.wait();
    look(work, index, segments, count, scores);
    work.team.wait();
    linear(work, mixed, weights.out, [&](int m, int column, const float* block, int rows) {
      add(weights.out, m, column, block, rows);
    });
    for (int m = own.from; m < own.to; m++) norm_row(weights.norm2, m, m);
    work.meet();
    linear(work, normed, weights.gate_up, [&](int m, int column, const float* block, int rows) {
      for (int r = 0; r < rows; r++) {
        const float* own_row = block + r * PANEL;
        const __m512 gate = silu(_mm512_loadu_ps(own_row)), up = _mm512_loadu_ps(own_row + 16);
        narrow(hidden.row(m + r) + column / 2, _mm512_mul_ps(gate, up));
      }
    });
    linear(work, hidden, weights.down, [&](int m, int column, const float* block, int rows) {
      add(weights.down, m, column, block, rows);
    });
  }

  // Which segment a row belongs to.
  static const Segment& segment_of(int m, const Segment* segments, int& first) {
    first = 0;
    while (m >= first + segments->count) first += (segments++)->count;
    return *segments;
  }

  // Turns the two halves of a head by the angle of its position: to (padded,) bfloat16.
  void turn(const float* from, int position, bf16* to) const {
    const int half = shape.head_width / 2;
    const float *cosine = cosines + (size_t)position * half,
                *sine = sines + (size_t)position * half;
    for (int i = 0; i < half; i += LANES) {
      const __mmask16 inside = (__mmask16)(half - i >= LANES ? 0xffff : (1 << (half - i)) - 1);
      const __m512 a = _mm512_maskz_loadu_ps(inside, from + i),
                   b = _mm512_maskz_loadu_ps(inside, from + i + half);
      const __m512 c = _mm512_maskz_loadu_ps(inside, cosine + i),
                   d = _mm512_maskz_loadu_ps(inside, sine + i);
      const __m512 first = _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, d));
      const __m512 second = _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, d));
      _mm256_mask_storeu_epi16(to + i, inside, (__m256i)_mm512_cvtneps_pbh(first));
      _mm256_mask_storeu_epi16(to + i + half, inside, (__m256i)_mm512_cvtneps_pbh(second));
    }
  }

  // The key and the value of one row and one head.
  void keep(const float* key, const float* value, const Segment& segment, int index, int g,
            int at) const {
    const Head head_shape(shape.head_width);
    const size_t place =
        ((size_t)index * shape.kv_heads + g) * segment.capacity * head_shape.padded;
    alignas(LINE) bf16 line[MOST_WIDE] = {};
    turn(key, at, line);
    head_shape.store_key(segment.keys + place, at, line);
    for (int d = 0; d < shape.head_width; d += LANES) narrow(line + d, _mm512_loadu_ps(value + d));
    head_shape.store_value(segment.values + place, at, line);
  }

  // One row of queries, keys and values to where attention wants them.
  void place_row(const float* line, const Segment& segment, int index, int at, bf16* to) const {
    const int width = shape.head_width, padded = Head(width).padded;
    const float *keys = line + shape.heads * width, *values = keys + shape.kv_heads * width;
    for (int h = 0; h < shape.heads; h++) turn(line + h * width, at, to + h * padded);
    for (int g = 0; g < shape.kv_heads; g++)
      keep(keys + g * width, values + g * width, segment, index, g, at);
  }

  void place(Range own, int index, const Segment* segments) {
    for (int m = own.from; m < own.to; m++) {
      int first;
      const Segment& segment = segment_of(m, segments, first);
      place_row(&y[(size_t)m * layers[index].qkv.n], segment, index, segment.past + m - first,
                queries.row(m));
    }
  }

  // Every thread takes every size-th block of queries from behind: late blocks see most keys.
  void look(const Work& work, int index, const Segment* segments, int count, Scores& scores) {
    const Head head_shape(shape.head_width);
    const int group = shape.heads / shape.kv_heads;
    int turn_of = 0, first = 0;
    for (int s = 0; s < count; first += segments[s++].count) {
      const Segment& segment = segments[s];
      for (int m = (segment.count - 1) / BLOCK_M * BLOCK_M; m >= 0; m -= BLOCK_M)
        for (int h = 0; h < shape.heads; h++) {
          if (turn_of++ % work.team.size != work.team.rank) continue;
          const size_t at =
              ((size_t)index * shape.kv_heads + h / group) * segment.capacity * head_shape.padded;
          const bf16* from = queries.row(first + m) + h * head_shape.padded;
          bf16* to = mixed.row(first + m) + h * shape.head_width;
          const int rows = std::min(BLOCK_M, segment.count - m), seen = segment.past + m + 1;
          if (rows == 1) {
            alignas(LINE) float own[MOST_WIDE];
            attend_one(from, segment.keys + at, segment.values + at, seen, head_shape, scores, own);
            for (int d = 0; d < shape.head_width; d++) to[d] = narrow_one(own[d]);
          } else {
            attend(from, queries.stride, rows, segment.keys + at, segment.values + at, seen, 1,
                   head_shape, scores, to, mixed.stride);
          }
        }
    }
  }

  // The single row of y: keys and values are kept, then every thread takes some heads.
  void look_one(int index, const Segment& segment, Team team, Scores& scores) {
    const Head head_shape(shape.head_width);
    const int width = shape.head_width, at = segment.past, group = shape.heads / shape.kv_heads;
    const size_t size = (size_t)segment.capacity * head_shape.padded,
                 first = (size_t)index * shape.kv_heads * size;
    const float *keys = &y[shape.heads * width], *values = keys + shape.kv_heads * width;
    const Range stored = team.share(shape.kv_heads), own = team.share(shape.heads);
    for (int g = stored.from; g < stored.to; g++)
      keep(keys + g * width, values + g * width, segment, index, g, at);
    team.wait();
    alignas(LINE) bf16 query[MOST_WIDE] = {};
    for (int h = own.from; h < own.to; h++) {
      turn(&y[h * width], at, query);
      const size_t place = first + h / group * size;
      attend_one(query, segment.keys + place, segment.values + place, at + 1, head_shape, scores,
                 &taken[h * width]);
    }
  }

  void run_one(const Segment& segment, float* logits, Team team, Scores& scores) {
    static thread_local Row line;
    static thread_local Space<float> smooth;
    const int width = shape.width;
    const auto norm_line =
        [&](const float* weight) {  // every thread for itself: cheaper than waiting
          smooth.fit(row_width());
          rms_norm(x.data(), weight, width, shape.eps,
                   [&](int i, __m512 v) { _mm512_storeu_ps(&smooth[i], v); });
        };
    const auto times = [&](const float* from, const Matrix& w, float* to) {
      line.set(from, w.k, w.codes != nullptr);
      const Range own = team.share(w.n / PANEL);
      multiply_one(line, w, 2 * own.from, 2 * own.to, to);
      return Range{own.from * PANEL, own.to * PANEL};
    };
    const auto add_to_x = [&](const float* from, const Matrix& w) {
      const Range own = times(from, w, y.data());
      for (int i = own.from; i < std::min(own.to, width); i++) x[i] += y[i];
      team.wait();
    };
    for (int i = 0; i < shape.layers; i++) {
      const DecoderLayer& weights = layers[i];
      norm_line(weights.norm1);
      times(smooth.data(), weights.qkv, y.data());
      team.wait();
      look_one(i, segment, team, scores);
      team.wait();
      add_to_x(taken.data(), weights.out);
      norm_line(weights.norm2);
      const Range own = times(smooth.data(), weights.gate_up, y.data());
      for (int c = own.from; c < own.to; c += PANEL) {
        const __m512 gate = silu(_mm512_loadu_ps(&y[c])), up = _mm512_loadu_ps(&y[c + 16]);
        _mm512_storeu_ps(&gated_row[c / 2], _mm512_mul_ps(gate, up));
      }
      team.wait();
      add_to_x(gated_row.data(), weights.down);
    }
    norm_line(norm);
    const int whole = shape.vocabulary / TILE_N;
    line.set(smooth.data(), head.k, head.codes != nullptr);
    const Range own = team.share(whole);
    multiply_one(line, head, own.from, own.to, logits);
    if (team.rank == 0 && shape.vocabulary % TILE_N) {
      float last[TILE_N];
      multiply_one(line, head, whole, whole + 1, last - whole * TILE_N);
      memcpy(logits + whole * TILE_N, last, shape.vocabulary % TILE_N * 4);
    }
    team.wait();
  }
};
