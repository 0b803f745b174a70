// How long things take, as measured: a step of r rows takes about base + r * row, fitted to the
// steps of the last seconds of work. What is promised or refused at admission rests on it.
#pragma once

#include <cstdint>

namespace lull {

// A line through (rows, seconds), where older steps count less and less. Not thread-safe.
class StepTimes {
 public:
  void Add(int64_t rows, double seconds);
  bool known() const { return weight_ >= kLeastSteps; }
  double base_s() const;
  double row_s() const;

 private:
  static constexpr double kLeastSteps = 4.0;

  double weight_ = 0.0, rows_ = 0.0, seconds_ = 0.0, rows_rows_ = 0.0, rows_seconds_ = 0.0;
};

// What stands before a request.
struct Backlog {
  int64_t requests = 0;       // waiting
  int64_t prompt_tokens = 0;  // not yet computed, of waiting and running requests
  int64_t new_tokens = 0;     // expected of waiting requests
};

// A snapshot of the engine's load; plain values.
struct LoadEstimate {
  bool known = false;  // false until there is something to go by
  double base_s = 0.0;
  double row_s = 0.0;
  int64_t chunk_tokens = 1;  // prompt rows of one step
  int64_t slots = 1;         // sequences at once
  int64_t running = 0;
  double answer_tokens = 0.0;  // of finished requests, on average

  // New tokens to expect of a request that may have at most this many.
  int64_t ExpectedNewTokens(int64_t max_new_tokens, bool ignore_eog) const;
  // From now to the moment all of it has been served.
  double BacklogSeconds(const Backlog& backlog) const;
  // From now to the request's last token.
  double AnswerSeconds(const Backlog& before, int64_t prompt_tokens, int64_t new_tokens) const;
};

}  // namespace lull
