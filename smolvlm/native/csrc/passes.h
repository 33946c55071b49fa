// Element-wise passes of training that PyTorch has no quick form of: activations in bfloat16, and
// what the backward pass multiplies the gradient by. A row of values is cut among the threads.
#pragma once
#include <dlfcn.h>

#include "simd.h"
#include "team.h"

// Calls work(team) in the OpenMP threads that PyTorch keeps: threads of our own would have to wait
// until those, which look for work for a while, leave the processors. Without them, in the crew's.
// The team must not wait for each other.
template <class Work>
void in_their_threads(int threads, Work&& work) {
  typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);
  static const Parallel parallel = (Parallel)dlsym(RTLD_DEFAULT, "GOMP_parallel");
  static const auto rank = (int (*)())dlsym(RTLD_DEFAULT, "omp_get_thread_num");
  static const auto size = (int (*)())dlsym(RTLD_DEFAULT, "omp_get_num_threads");
  if (!parallel || !rank || !size) return crew().run(threads, work);
  const auto call = [](void* held) { (*(Work*)held)(Team{rank(), size(), nullptr}); };
  parallel(call, (void*)&work, threads, 0);
}

// 1 / (1 + e^-t), with t given times log2 e.
static inline __m512 sigmoid(__m512 t) { return gated(_mm512_set1_ps(1.0f), t); }

// d/dx of x s(x) with s = sigmoid(t(x)): s + x s (1 - s) t'(x).
static inline __m512 slope(__m512 x, __m512 s, __m512 change) {
  const __m512 rest = _mm512_sub_ps(_mm512_set1_ps(1.0f), s);
  return _mm512_fmadd_ps(_mm512_mul_ps(_mm512_mul_ps(x, s), rest), change, s);
}

static inline __m512 gelu_slope(__m512 x) {
  const float twice = 2.0f * 0.7978845608028654f;
  const __m512 square = _mm512_mul_ps(x, x);
  const __m512 t = _mm512_mul_ps(
      x, _mm512_fmadd_ps(square, _mm512_set1_ps(0.044715f * twice), _mm512_set1_ps(twice)));
  const __m512 change =
      _mm512_fmadd_ps(square, _mm512_set1_ps(3 * 0.044715f * twice), _mm512_set1_ps(twice));
  return slope(x, sigmoid(_mm512_mul_ps(t, _mm512_set1_ps(LOG2_E))), change);
}

// Calls work(i) at every 16th of `count` values; the last call may reach back into the one before,
// so that work must not read what it has written.
template <class Work>
void each_vector(size_t count, int threads, Work&& work) {
  constexpr size_t PIECE = 4096;
  in_their_threads(threads, [&](Team team) {
    const Range own = team.share((int)((count + PIECE - 1) / PIECE));
    for (size_t i = own.from * PIECE; i < std::min(count, own.to * PIECE); i += LANES)
      work(std::min(i, count - LANES));
  });
}
