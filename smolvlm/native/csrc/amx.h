// Products with the processor's matrix tiles: packed weights, and one routine for all layers.
//
// A packed matrix of N outputs and K inputs is cut into tiles of 16 outputs and 32 inputs, all
// tiles of 16 outputs behind one another. A tile has 16 rows; row r holds inputs 2r and 2r+1 of
// output 0, then of output 1, ... : the order in which AMX takes them. N and K are filled up with
// zeros.
#pragma once
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "simd.h"
#include "space.h"

constexpr int TILE_N = 16, TILE_K = 32, TILE = TILE_N * TILE_K;
constexpr int GROUP = 64;                // inputs that share a scale in 8 bits
constexpr int BLOCK_M = 32, PANEL = 32;  // rows and outputs that are computed together
constexpr int CHUNK = 256;               // most inputs that are taken at once
constexpr int PASSING =
    512 * 1024;  // most values of the rows that pass by: half of the second cache

struct Matrix {
  int n, k;                // as packed: multiples of 32
  const bf16* wide;        // packed, or null where there are codes
  const int8_t* codes;     // packed in the same order, or null
  const uint16_t* scales;  // float16 (n / 16, k / GROUP, 16), of codes
  const float* bias;       // (n,), or null
};

struct TileShapes {
  uint8_t palette = 1, start = 0, unused[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// What was written to memory is there: compilers do not know that tile instructions read it.
static inline void written() { asm volatile("" ::: "memory"); }

// The kernel lets a process use tiles only when asked; 0 when it does.
static int ask_for_tiles() { return (int)syscall(SYS_arch_prctl, 0x1023, 18); }

// Eight tiles of 16 rows of 64 bytes, for the calling thread, as long as this lives; and numbers
// too small for a whole exponent are zero, as they would take a hundred times as long. A thread
// that another library uses tiles on gets back the shapes it had.
struct Tiles {
  const unsigned before = _mm_getcsr();
  TileShapes others;

  Tiles() {
    _tile_storeconfig(&others);
    _mm_setcsr(before | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
    TileShapes shapes;
    for (int i = 0; i < 8; i++) shapes.rows[i] = 16, shapes.bytes[i] = 64;
    written();
    _tile_loadconfig(&shapes);
  }
  ~Tiles() {
    if (others.palette)
      _tile_loadconfig(&others);
    else
      _tile_release();
    _mm_setcsr(before);
  }
};

// 32 codes of one row of a tile, with the scales of its 16 outputs, as bfloat16.
static inline void unpack_row(bf16* to, const int8_t* codes, __m512i scale_pairs_low,
                              __m512i scale_pairs_high) {
  const __m512 low =
      _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)codes)));
  const __m512 high =
      _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)(codes + 16))));
  const __m512bh both =
      _mm512_cvtne2ps_pbh(_mm512_mul_ps(high, _mm512_castsi512_ps(scale_pairs_high)),
                          _mm512_mul_ps(low, _mm512_castsi512_ps(scale_pairs_low)));
  _mm512_store_si512((__m512i*)to, (__m512i)both);
}

// The tiles of 16 outputs and inputs [from, to), multiples of 64, from their codes.
static void unpack(bf16* to, const Matrix& w, int block, int from, int upto) {
  const int8_t* codes = w.codes + ((size_t)block * w.k + from) * TILE_N;
  const uint16_t* scales = w.scales + ((size_t)block * w.k + from) / GROUP * TILE_N;
  // Every output stands twice in a row: its two inputs.
  const __m512i first = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  for (int i = from; i < upto; i += GROUP, scales += TILE_N) {
    const __m512i scale =
        _mm512_castps_si512(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)scales)));
    const __m512i low = _mm512_permutexvar_epi32(first, scale),
                  high = _mm512_permutexvar_epi32(second, scale);
    for (int r = 0; r < GROUP / 2; r++, to += 32, codes += 32) unpack_row(to, codes, low, high);
  }
}

// Rows of a block that two tiles of 16 cover; the lower one may be empty.
struct Block {
  float* at;  // (32, 32) float32
  bool tall;

  void begin(bool fresh) const {
    if (fresh) {
      _tile_zero(0);
      _tile_zero(1);
      if (tall) _tile_zero(2);
      if (tall) _tile_zero(3);
      return;
    }
    _tile_loadd(0, at, PANEL * 4);
    _tile_loadd(1, at + 16, PANEL * 4);
    if (!tall) return;
    _tile_loadd(2, at + 16 * PANEL, PANEL * 4);
    _tile_loadd(3, at + 16 * PANEL + 16, PANEL * 4);
  }

  void end() const {
    _tile_stored(0, at, PANEL * 4);
    _tile_stored(1, at + 16, PANEL * 4);
    if (!tall) return;
    _tile_stored(2, at + 16 * PANEL, PANEL * 4);
    _tile_stored(3, at + 16 * PANEL + 16, PANEL * 4);
  }

  // Adds the products of a (32, ...) with two columns of tiles, over so many tiles of inputs.
  // After each tile, `between(s)` may do something that takes no tiles.
  template <class Between>
  void add(const bf16* a, int stride, const bf16* b0, const bf16* b1, int steps,
           Between&& between) const {
    const bf16* a1 = a + (size_t)16 * stride;
    written();
    for (int s = 0; s < steps; s++) {
      _tile_loadd(4, a + s * TILE_K, stride * 2);
      _tile_loadd(6, b0 + s * TILE, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, b1 + s * TILE, 64);
      _tile_dpbf16ps(1, 4, 7);
      between(s);
      if (!tall) continue;
      _tile_loadd(5, a1 + s * TILE_K, stride * 2);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
};

// The weights of the next chunk of a panel, fetched piece by piece while another chunk is used.
struct Ahead {
  const char* at[2] = {};  // its two columns of tiles
  size_t lines = 0;

  Ahead(const Matrix& w, int panel, int k, int chunk) {
    const size_t size = w.codes ? 1 : sizeof(bf16);
    const char* all = w.codes ? (const char*)w.codes : (const char*)w.wide;
    for (int i = 0; i < 2; i++) at[i] = all + ((size_t)(2 * panel + i) * w.k + k) * TILE_N * size;
    lines = (size_t)std::min(chunk, w.k - k) * TILE_N * size / LINE;
  }

  void fetch(size_t line) const {
    for (const char* column : at) _mm_prefetch(column + line * LINE, _MM_HINT_T1);
  }
};

// Outputs of panels [from, to) for rows [m0, m1) of a: a (rows, stride) bfloat16, as many rows as
// m1 rounded up to 32. `done(row, column, block, rows)` gets float32 blocks of 32 x 32.
//
// Inputs are taken in chunks whose weights stay in the processor's first cache while all rows pass
// by, and only as many rows pass by at once as stay in its second; sums wait in memory between two
// chunks.
template <class Done>
void multiply(const bf16* a, int stride, int m0, int m1, const Matrix& w, int from, int to,
              Done&& done) {
  static thread_local Space<float> sums;
  static thread_local Space<bf16> unpacked;
  const int chunks = (w.k + CHUNK - 1) / CHUNK,
            chunk = rounded_up((w.k + chunks - 1) / chunks, GROUP);
  const int most = std::max(BLOCK_M, PASSING / w.k / BLOCK_M * BLOCK_M);
  bf16* codes = w.codes ? unpacked.fit((size_t)chunk * PANEL) : nullptr;
  for (int first = m0; first < m1; first += most) {
    const int last = std::min(first + most, m1);
    float* blocks = sums.fit((size_t)rounded_up(last - first, BLOCK_M) * PANEL);
    for (int panel = from; panel < to; panel++) {
      for (int k = 0; k < w.k; k += chunk) {
        const int upto = std::min(k + chunk, w.k), steps = (upto - k) / TILE_K;
        const bf16 *b0, *b1;
        if (codes) {
          b0 = codes, b1 = codes + steps * TILE;
          unpack(codes, w, 2 * panel, k, upto);
          unpack(codes + steps * TILE, w, 2 * panel + 1, k, upto);
        } else {
          b0 = w.wide + ((size_t)2 * panel * w.k + k) * TILE_N, b1 = b0 + (size_t)w.k * TILE_N;
        }
        const bool ends = upto == w.k;
        const Ahead ahead(w, ends && panel + 1 < to ? panel + 1 : panel, ends ? 0 : upto, chunk);
        const int pieces = (last - first + BLOCK_M - 1) / BLOCK_M;
        for (int m = first; m < last; m += BLOCK_M) {
          const Block block{blocks + (size_t)(m - first) * PANEL, last - m > 16};
          const size_t piece = (m - first) / BLOCK_M, line = ahead.lines * piece / pieces;
          const size_t next = ahead.lines * (piece + 1) / pieces;
          block.begin(k == 0);
          block.add(a + (size_t)m * stride + k, stride, b0, b1, steps, [&](int s) {
            for (size_t l = line + s; l < next; l += steps) ahead.fetch(l);
          });
          block.end();
          if (ends) done(m, panel * PANEL, block.at, std::min(BLOCK_M, last - m));
        }
      }
    }
  }
}
