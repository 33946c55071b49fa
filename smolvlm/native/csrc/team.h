// Threads that work through one forward pass together: who does what, and waiting for each other.
#pragma once
#include <omp.h>

#include <algorithm>
#include <atomic>

struct Range {
  int from, to;
};

struct Team {
  int rank, size;

  // An even share of `count` pieces of work.
  Range share(int count) const {
    const int each = count / size, more = count % size;
    const int from = rank * each + std::min(rank, more);
    return {from, from + each + (rank < more)};
  }

  // The same of rows, cut where blocks of `block` rows begin.
  Range rows(int count, int block) const {
    const Range blocks = share((count + block - 1) / block);
    return {std::min(blocks.from * block, count), std::min(blocks.to * block, count)};
  }

  void wait() const {
    if (size > 1) {
#pragma omp barrier
    }
  }
};
