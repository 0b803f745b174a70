#include "service/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace lull {
namespace {

constexpr double kSeconds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                               1.0,   2.5,   5.0,  7.5,  10,   20,   40,   80,  160,  640, 2560};
constexpr double kTokenSeconds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
                                    0.1,   0.15,   0.2,   0.3,  0.4,   0.5,  0.75,
                                    1.0,   2.5,    5.0,   10,   20,    40,   80};
constexpr double kTokens[] = {1,   2,    5,    10,   20,    50,    100,   200,
                              500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
constexpr double kChoices[] = {1, 2, 5, 10, 20, 50, 100};

// digits: 17 for every bit; 6 for the bounds above, 0.1 and not 0.10000000000000001.
std::string Number(double value, int digits = 17) {
  char text[40];
  snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

}  // namespace

void Histogram::Observe(double value) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  counts_[static_cast<size_t>(at - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

double Histogram::Quantile(double q) const {
  int64_t all = 0;
  for (size_t i = 0; i <= bounds_.size(); ++i) all += count(i);
  if (all == 0) return 0.0;
  const int64_t want = std::max<int64_t>(1, std::llround(std::ceil(q * static_cast<double>(all))));
  int64_t below = 0;
  for (size_t i = 0; i < bounds_.size(); ++i) {
    below += count(i);
    if (below >= want) return bounds_[i];
  }
  return bounds_.back();
}

Metrics::Metrics()
    : time_to_first_token_s(kSeconds),
      inter_token_s(kTokenSeconds),
      end_to_end_s(kSeconds),
      queue_s(kSeconds),
      prefill_s(kSeconds),
      decode_s(kSeconds),
      prompt_tokens(kTokens),
      new_tokens(kTokens),
      choices(kChoices),
      max_new_tokens(kTokens) {}

void Metrics::Count(FinishReason reason, const RequestStats& stats) {
  ended[static_cast<size_t>(reason)].fetch_add(1);
  prompt_tokens_total.fetch_add(stats.prompt_tokens);
  new_tokens_total.fetch_add(stats.new_tokens);
  cached_tokens_total.fetch_add(stats.cached_tokens);
  bytes_moved_total.fetch_add(stats.bytes_moved);
  request_cpu_ms_total.fetch_add(stats.cpu_ms);
  queue_s.Observe(stats.queue_ms * 1e-3);
  prefill_s.Observe(stats.prefill_ms * 1e-3);
  decode_s.Observe(stats.decode_ms * 1e-3);
  prompt_tokens.Observe(static_cast<double>(stats.prompt_tokens));
  new_tokens.Observe(static_cast<double>(stats.new_tokens));
}

void MetricsText::Head(const char* name, const char* type, const char* help) {
  if (family_ == name) return;
  family_ = name;
  text_ += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

void MetricsText::Add(const char* name, const char* type, const char* help, double value,
                      const std::string& labels) {
  Head(name, type, help);
  text_ += name + (labels.empty() ? "" : "{" + labels + "}") + " " + Number(value) + "\n";
}

void MetricsText::Gauge(const char* name, const char* help, double value,
                        const std::string& labels) {
  Add(name, "gauge", help, value, labels);
}

void MetricsText::Counter(const char* name, const char* help, double value,
                          const std::string& labels) {
  Add(name, "counter", help, value, labels);
}

void MetricsText::Distribution(const char* name, const char* help, const Histogram& histogram) {
  Head(name, "histogram", help);
  int64_t below = 0;
  const auto bucket = [&](const std::string& bound) {
    text_ += std::string(name) + "_bucket{le=\"" + bound + "\"} " + std::to_string(below) + "\n";
  };
  for (size_t i = 0; i < histogram.bounds().size(); ++i) {
    below += histogram.count(i);
    bucket(Number(histogram.bounds()[i], 6));
  }
  below += histogram.count(histogram.bounds().size());
  bucket("+Inf");
  text_ += std::string(name) + "_sum " + Number(histogram.sum()) + "\n";
  text_ += std::string(name) + "_count " + std::to_string(below) + "\n";
}

}  // namespace lull
