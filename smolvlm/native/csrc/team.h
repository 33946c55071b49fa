// Threads that work through one forward pass together: who does what, and waiting for each other.
//
// Waiting is a short look again and again, then sleep: where other programs hold a processor, a
// thread that only looks would keep the one it waits for from running, a hundred times a token.
#pragma once
#include <immintrin.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

struct Range {
  int from, to;
};

constexpr int LOOKS = 3000;  // at a number that somebody else will change: some 100 microseconds

// Returns when `value` is no longer `old`.
static inline void await(const std::atomic<unsigned>& value, unsigned old) {
  for (int i = 0; i < LOOKS; i++) {
    if (value.load(std::memory_order_acquire) != old) return;
    _mm_pause();
  }
  value.wait(old, std::memory_order_acquire);
}

// Where all threads of a team meet.
struct Meeting {
  std::atomic<unsigned> round{0};
  std::atomic<int> here{0};

  void arrive(int size) {
    const unsigned own = round.load(std::memory_order_acquire);
    if (here.fetch_add(1, std::memory_order_acq_rel) + 1 < size) return await(round, own);
    here.store(0, std::memory_order_relaxed);
    round.store(own + 1, std::memory_order_release);
    round.notify_all();
  }
};

struct Team {
  int rank, size;
  Meeting* meeting;

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
    if (size > 1) meeting->arrive(size);
  }
};

// The threads besides the calling one. They sleep between two passes, and last as long as the
// process.
class Crew {
 public:
  // Calls work(team) in `size` threads, and returns when all have. Callers take turns.
  void run(int size, const std::function<void(Team)>& work) {
    const std::lock_guard<std::mutex> turn(turn_);
    while ((int)threads_.size() < size - 1)
      threads_.emplace_back(&Crew::serve, this, (int)threads_.size() + 1, pass_.load());
    work_ = &work, size_ = size, all_ = (int)threads_.size() + 1;
    pass_.fetch_add(1, std::memory_order_acq_rel);
    pass_.notify_all();
    work(Team{0, size, &meeting_});
    end_.arrive(all_);  // also of those who had nothing to do: none may miss the next pass
  }

 private:
  void serve(int rank, unsigned seen) {
    while (true) {
      await(pass_, seen);
      seen = pass_.load(std::memory_order_acquire);
      if (rank < size_) (*work_)(Team{rank, size_, &meeting_});
      end_.arrive(all_);
    }
  }

  std::mutex turn_;
  std::vector<std::thread> threads_;
  std::atomic<unsigned> pass_{0};
  Meeting meeting_, end_;
  const std::function<void(Team)>* work_ = nullptr;
  int size_ = 0, all_ = 0;
};

// The crew of this process. After a fork the parent's threads are not there: a new one is hired,
// and what is left of the old one stays where it is.
static Crew& crew() {
  static std::mutex hiring;
  static Crew* hired = nullptr;
  static pid_t owner = 0;
  const std::lock_guard<std::mutex> guard(hiring);
  if (owner != getpid()) hired = new Crew(), owner = getpid();
  return *hired;
}

// How many threads compute a few rows: all, or one alone. Threads meet 150 times and more in such a
// pass, which costs little while each has a processor to itself; where other programs want the
// processors too, one alone is several times as fast. Which it is, is tried now and then.
class Pace {
 public:
  int threads(int wanted) const { return alone_ != tries() ? 1 : wanted; }

  // After a pass of one row: what it took in so many threads.
  void took(int threads, double seconds) {
    double& usual = seconds_[threads == 1];
    usual = usual > 0 ? usual + NEWEST * (seconds - usual) : seconds;
    passes_++;
    if (seconds_[0] > 0 && seconds_[1] > 0)
      alone_ = seconds_[1] < (alone_ ? 1.0 : WORTH_IT) * seconds_[0];
  }

 private:
  // Whether the next pass takes the other way: one of 128, or two of 16 while alone.
  bool tries() const { return alone_ ? passes_ % 16 < 2 : passes_ % 128 == 2; }

  static constexpr double NEWEST = 0.3, WORTH_IT = 0.8;
  double seconds_[2] = {};  // a pass takes: of all threads, of one
  unsigned passes_ = 0;
  bool alone_ = false;
};

// The processors this process may use.
static int processors() {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof allowed, &allowed) ? 1 : CPU_COUNT(&allowed);
}
