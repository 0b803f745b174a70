// Keeps the bytes that the kernels read from memory inside a rate, so that neighbours keep their
// share of the bus: the CPU governor's bucket (GCRA), on bytes. For every window w
//   bytes <= rate * (w + 1 ms) + threads * tile
// and the pauses are short and evenly spread: half a millisecond's worth of work, then a pause.
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace lull {

class BusGovernor {
 public:
  // 0: uncapped.
  explicit BusGovernor(double bytes_per_s) { SetRate(bytes_per_s, 0, 0); }

  bool capped() const { return rate_.load(std::memory_order_relaxed) > 0.0; }
  double rate() const { return rate_.load(std::memory_order_relaxed); }
  // One look at the bucket. moved_bytes: all that was read so far. 0 to go on, else the time to
  // sleep until and ask again.
  int64_t Poll(int64_t now_ns, int64_t moved_bytes);
  // While running. A debt keeps its bytes across the change; a cap that begins, begins without
  // credit.
  void SetRate(double bytes_per_s, int64_t now_ns, int64_t moved_bytes);

 private:
  void Charge(double rate, int64_t now_ns, int64_t moved_bytes);

  std::mutex set_mutex_;           // orders SetRate calls; no checkpoint takes it
  std::atomic<double> rate_{0.0};  // bytes a second
  std::atomic<int64_t> tat_{0};    // when all that was read is paid for
  std::atomic<int64_t> paid_{0};   // bytes charged so far
};

}  // namespace lull
