// What the server counts over its life, and the text that Prometheus reads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "lull/request.h"

namespace lull {

// Counts of values at or below bounds. Thread-safe; a reader beside writers sees every value in
// all counts or in some, never a wrong one.
class Histogram {
 public:
  // bounds: ascending; they outlive the histogram.
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds), counts_(new std::atomic<int64_t>[bounds.size() + 1]()) {}
  void Observe(double value);
  std::span<const double> bounds() const { return bounds_; }
  int64_t count(size_t bucket) const { return counts_[bucket].load(std::memory_order_relaxed); }
  double sum() const { return sum_.load(std::memory_order_relaxed); }
  // The value that the share q of all lie at or below, by its bucket's upper bound; 0 without any.
  double Quantile(double q) const;

 private:
  std::span<const double> bounds_;
  std::unique_ptr<std::atomic<int64_t>[]> counts_;  // of each bucket alone; the last: above all
  std::atomic<double> sum_{0.0};
};

// Over all models that were ever loaded. Thread-safe.
struct Metrics {
  Metrics();

  Histogram time_to_first_token_s;  // from submission
  Histogram inter_token_s;          // between two tokens of one request
  Histogram end_to_end_s;
  Histogram queue_s;
  Histogram prefill_s;
  Histogram decode_s;
  Histogram prompt_tokens;  // of a request
  Histogram new_tokens;
  Histogram choices;                // of a client's request: prompts times n
  Histogram max_new_tokens;         // as asked for
  std::atomic<int64_t> ended[5]{};  // the engine's requests, by FinishReason
  std::atomic<int64_t> prompt_tokens_total{0};
  std::atomic<int64_t> new_tokens_total{0};
  std::atomic<int64_t> cached_tokens_total{0};
  std::atomic<int64_t> bytes_moved_total{0};
  std::atomic<double> request_cpu_ms_total{0.0};

  // An engine's request that ended.
  void Count(FinishReason reason, const RequestStats& stats);
};

// Prometheus text format 0.0.4.
class MetricsText {
 public:
  // name{labels} value; labels "" or `a="b"`. A family's first line brings its help and type.
  void Gauge(const char* name, const char* help, double value, const std::string& labels = "");
  void Counter(const char* name, const char* help, double value, const std::string& labels = "");
  void Distribution(const char* name, const char* help, const Histogram& histogram);
  std::string Take() { return std::move(text_); }

 private:
  void Add(const char* name, const char* type, const char* help, double value,
           const std::string& labels);
  void Head(const char* name, const char* type, const char* help);

  std::string text_;
  std::string family_;
};

}  // namespace lull
