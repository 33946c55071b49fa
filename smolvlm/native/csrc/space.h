// Memory that begins at a line of the processor's cache. A tile whose rows lie across two lines
// takes three times as long to load.
#pragma once
#include <cstdint>
#include <vector>

constexpr size_t LINE = 64;

// So many values, zero at first; grows, never shrinks, and forgets what it held when it grows.
template <class T>
struct Space {
  std::vector<T> held;

  T* fit(size_t count) {
    if (held.size() < count + LINE / sizeof(T)) held.assign(count + LINE / sizeof(T), T());
    return data();
  }
  T* data() { return (T*)(((uintptr_t)held.data() + LINE - 1) & ~(uintptr_t)(LINE - 1)); }
  const T* data() const { return const_cast<Space*>(this)->data(); }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
};
