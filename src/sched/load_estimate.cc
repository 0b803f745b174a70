#include "sched/load_estimate.h"

#include <algorithm>
#include <cmath>

namespace lull {
namespace {

constexpr double kHalfLifeSeconds = 5.0;  // of work, not of time that passed idle

double CeilDiv(int64_t a, int64_t b) {
  return static_cast<double>((a + b - 1) / std::max<int64_t>(b, 1));
}

}  // namespace

void StepTimes::Add(int64_t rows, double seconds) {
  const double keep = std::exp2(-std::clamp(seconds / kHalfLifeSeconds, 0.0, 2.0));
  const double r = static_cast<double>(rows);
  weight_ = weight_ * keep + 1.0;
  rows_ = rows_ * keep + r;
  seconds_ = seconds_ * keep + seconds;
  rows_rows_ = rows_rows_ * keep + r * r;
  rows_seconds_ = rows_seconds_ * keep + r * seconds;
}

// Neither part of a time is negative, and all of it is the rows' where steps of one size say
// nothing about the two.
double StepTimes::row_s() const {
  if (rows_ <= 0.0) return 0.0;
  const double variance = weight_ * rows_rows_ - rows_ * rows_;
  if (variance < 1e-9 * rows_ * rows_) return seconds_ / rows_;
  const double slope = (weight_ * rows_seconds_ - rows_ * seconds_) / variance;
  return std::clamp(slope, 0.0, seconds_ / rows_);
}

double StepTimes::base_s() const {
  return weight_ <= 0.0 ? 0.0 : std::max(0.0, (seconds_ - row_s() * rows_) / weight_);
}

int64_t LoadEstimate::ExpectedNewTokens(int64_t max_new_tokens, bool ignore_eog) const {
  if (ignore_eog) return max_new_tokens;
  return std::min(max_new_tokens, std::max<int64_t>(1, std::llround(answer_tokens)));
}

double LoadEstimate::BacklogSeconds(const Backlog& backlog) const {
  const double prompts = row_s * static_cast<double>(backlog.prompt_tokens) +
                         base_s * CeilDiv(backlog.prompt_tokens, chunk_tokens);
  // Answers share steps: as many rows as there are slots.
  const int64_t rows = std::clamp<int64_t>(backlog.requests, 1, std::max<int64_t>(slots, 1));
  const double answers =
      row_s * static_cast<double>(backlog.new_tokens) + base_s * CeilDiv(backlog.new_tokens, rows);
  return prompts + answers;
}

double LoadEstimate::AnswerSeconds(const Backlog& before, int64_t prompt_tokens,
                                   int64_t new_tokens) const {
  Backlog ahead = before;
  // With a free slot nobody's answer is waited for, only the prompts before it.
  if (running + before.requests < slots) ahead.new_tokens = 0;
  ahead.prompt_tokens += prompt_tokens;
  const int64_t beside = std::clamp<int64_t>(running + before.requests + 1, 1, slots);
  const double step_s = base_s + row_s * static_cast<double>(beside);
  return BacklogSeconds(ahead) + step_s * static_cast<double>(std::max<int64_t>(new_tokens - 1, 0));
}

}  // namespace lull
