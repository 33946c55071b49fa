// What Python calls (ctypes; ../library.py says the same in its terms). All memory that is handed
// in stays the caller's; shapes and orders are written where the structs are.
#include <chrono>

#include "attention_back.h"
#include "decoder.h"
#include "passes.h"
#include "tower.h"

namespace {

// Calls work(team, scratch memory of the thread) in so many threads; returns the seconds it took.
template <class Work>
double together(int threads, Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  crew().run(threads, [&](Team team) {
    static thread_local Scores scores;
    const Tiles tiles;
    work(team, scores);
  });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Where output j of a block of 16 and input i lie in a packed matrix of k inputs.
size_t place(int block, int j, int i, int k) {
  return ((size_t)block * (k / TILE_K) + i / TILE_K) * TILE + i % TILE_K / 2 * 32 + j * 2 + i % 2;
}

}  // namespace

extern "C" {

// 0 when this process may use matrix tiles.
int smolvlm_start() { return ask_for_tiles(); }

// Multiplications and additions a second, of `threads` threads that multiply what lies in their
// first caches: what no layer can exceed.
double smolvlm_tile_rate(int threads) {
  constexpr int ROUNDS = 2000, STEPS = CHUNK / TILE_K;
  double seconds = 1e9;
  for (int run = 0; run < 5; run++) {
    const double spent = together(threads, [&](Team, Scores& scores) {
      bf16* values = scores.shares.data();  // (32, KEYS); any numbers will do
      for (int i = 0; i < ROUNDS; i++) {
        const Block block{scores.mixed, true};
        block.begin(true);
        block.add(values, KEYS, values, values + STEPS * TILE, STEPS, [](int) {});
      }
    });
    seconds = std::min(seconds, spent);
  }
  return 2.0 * threads * ROUNDS * BLOCK_M * PANEL * CHUNK / seconds;
}

// w (n, k) float32 to packed bfloat16 (rounded up to 32 and 64 with zeros).
void smolvlm_pack(const float* w, int n, int k, bf16* to) {
  const int padded = rounded_up(k, GROUP), blocks = rounded_up(n, PANEL) / TILE_N;
  crew().run(processors(), [&](Team team) {
    const Range own = team.share(blocks);
    for (int b = own.from; b < own.to; b++)
      for (int j = 0; j < TILE_N; j++) {
        const int row = b * TILE_N + j;
        for (int i = 0; i < padded; i++) {
          const float value = row < n && i < k ? w[(size_t)row * k + i] : 0.0f;
          to[place(b, j, i, padded)] = narrow_one(value);
        }
      }
  });
}

// w (n, k) float32 to packed codes with a float16 scale for every 64 inputs of an output.
void smolvlm_pack_codes(const float* w, int n, int k, int8_t* to, uint16_t* scales) {
  const int padded = rounded_up(k, GROUP), blocks = rounded_up(n, PANEL) / TILE_N;
  crew().run(processors(), [&](Team team) {
    const Range own = team.share(blocks);
    for (int b = own.from; b < own.to; b++)
      for (int j = 0; j < TILE_N; j++) {
        const int row = b * TILE_N + j;
        for (int g = 0; g < padded / GROUP; g++) {
          float group[GROUP] = {}, most = 0.0f;
          for (int i = 0; i < GROUP && row < n && g * GROUP + i < k; i++) {
            group[i] = w[(size_t)row * k + g * GROUP + i];
            most = std::max(most, std::abs(group[i]));
          }
          const uint16_t half = _cvtss_sh(most / 127.0f, _MM_FROUND_TO_NEAREST_INT);
          const float scale = _cvtsh_ss(half);
          scales[((size_t)b * (padded / GROUP) + g) * TILE_N + j] = half;
          for (int i = 0; i < GROUP; i++) {
            const float code = scale > 0 ? __builtin_rintf(group[i] / scale) : 0.0f;
            to[place(b, j, g * GROUP + i, padded)] =
                (int8_t)std::min(127.0f, std::max(-127.0f, code));
          }
        }
      }
  });
}

Tower* smolvlm_tower(const TowerShape* shape, const float* centre, const float* positions,
                     const Matrix* embed, const TowerLayer* layers, const float* norm,
                     const float* norm_bias, const Matrix* projection) {
  Tower* tower = new Tower{*shape, centre, positions, *embed, layers, norm, norm_bias, *projection};
  tower->fit();
  return tower;
}

void smolvlm_close_tower(Tower* tower) { delete tower; }

// tiles (count, S, S, 3) -> to (count, tokens, tokens_width).
void smolvlm_encode(Tower* tower, const uint8_t* tiles, int count, float* to, int threads) {
  const TowerShape& shape = tower->shape;
  const std::lock_guard<std::mutex> guard(tower->busy);
  const size_t pixels = (size_t)shape.side * shape.side * 3;
  const size_t tokens =
      (size_t)shape.grid * shape.grid / (shape.shuffle * shape.shuffle) * shape.tokens_width;
  together(threads, [&](Team team, Scores& scores) {
    for (int i = 0; i < count; i++) tower->run(tiles + i * pixels, to + i * tokens, team, scores);
  });
}

Decoder* smolvlm_decoder(const DecoderShape* shape, const float* cosines, const float* sines,
                         const DecoderLayer* layers, const float* norm, const Matrix* head) {
  return new Decoder{*shape, cosines, sines, layers, norm, *head};
}

void smolvlm_close_decoder(Decoder* decoder) { delete decoder; }

// rows (total, width): the new tokens of all segments -> logits (wanted, vocabulary).
void smolvlm_decode(Decoder* decoder, const Segment* segments, int count, const float* rows,
                    float* logits, int threads) {
  int total = 0;
  for (int s = 0; s < count; s++) total += segments[s].count;
  const std::lock_guard<std::mutex> guard(decoder->busy);
  decoder->fit(total);
  const int width = decoder->shape.width, padded = rounded_up(width, GROUP);
  for (int m = 0; m < total; m++)
    memcpy(&decoder->x[(size_t)m * padded], rows + (size_t)m * width, width * sizeof(float));
  const bool meets_often = !Work(Team{0, threads, nullptr}, total).apart;
  const int size = meets_often ? decoder->pace.threads(threads) : threads;
  const double spent = together(size, [&](Team team, Scores& scores) {
    decoder->run(segments, count, total, logits, team, scores);
  });
  if (total == 1 && threads > 1) decoder->pace.took(size, spent);
}

// Passes of training over `count` values, at least 16: tanh-GELU, and its gradient times `grad`.
void smolvlm_gelu(const bf16* x, bf16* to, size_t count, int threads) {
  each_vector(count, threads, [&](size_t i) { narrow(to + i, gelu(widen(x + i))); });
}

void smolvlm_gelu_gradient(const bf16* x, const bf16* grad, bf16* to, size_t count, int threads) {
  each_vector(count, threads, [&](size_t i) {
    narrow(to + i, _mm512_mul_ps(gelu_slope(widen(x + i)), widen(grad + i)));
  });
}

// silu(gate) * up, and the gradients of both.
void smolvlm_gated(const bf16* gate, const bf16* up, bf16* to, size_t count, int threads) {
  each_vector(count, threads, [&](size_t i) {
    narrow(to + i, _mm512_mul_ps(silu(widen(gate + i)), widen(up + i)));
  });
}

void smolvlm_gated_gradients(const bf16* gate, const bf16* up, const bf16* grad, bf16* to_gate,
                             bf16* to_up, size_t count, int threads) {
  each_vector(count, threads, [&](size_t i) {
    const __m512 g = widen(gate + i), own = widen(grad + i);
    const __m512 s = sigmoid(_mm512_mul_ps(g, _mm512_set1_ps(LOG2_E)));
    const __m512 change = slope(g, s, _mm512_set1_ps(1.0f));
    narrow(to_gate + i, _mm512_mul_ps(_mm512_mul_ps(own, widen(up + i)), change));
    narrow(to_up + i, _mm512_mul_ps(own, _mm512_mul_ps(g, s)));
  });
}

// Attention in training of `count` tiles: (count, rows, heads * width) each, logs (count, heads,
// rows). What `attention_back.h` asks of rows and width holds.
void smolvlm_attend(const bf16* queries, const bf16* keys, const bf16* values, bf16* to,
                    float* logs, int count, int rows, int heads, int width, int threads) {
  in_their_threads(threads, [&](Team team) {
    static thread_local Scores scores;
    const Tiles tiles;
    const Range own = team.share(count * heads);
    for (int i = own.from; i < own.to; i++) {
      const size_t at = ((size_t)(i / heads) * rows * heads + i % heads) * width;
      attend_all(queries + at, keys + at, values + at, rows, heads * width, Head(width), scores,
                 to + at, logs + (size_t)i * rows);
    }
  });
}

void smolvlm_attend_gradients(const bf16* queries, const bf16* keys, const bf16* values,
                              const bf16* mixed, const bf16* grad, const float* logs,
                              bf16* to_queries, bf16* to_keys, bf16* to_values, int count, int rows,
                              int heads, int width, int threads) {
  in_their_threads(threads, [&](Team team) {
    const Tiles tiles;
    static thread_local HeadBack::Packed packed;
    const Range own = team.share(count * heads);
    for (int i = own.from; i < own.to; i++) {
      const size_t at = ((size_t)(i / heads) * rows * heads + i % heads) * width;
      const HeadBack head{queries + at,    keys + at,
                          values + at,     mixed + at,
                          grad + at,       logs + (size_t)i * rows,
                          to_queries + at, to_keys + at,
                          to_values + at,  rows,
                          heads * width};
      head.run(Head(width), packed);
    }
  });
}
}
