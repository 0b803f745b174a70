#include "decode/sampler.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/exact_math.h"
#include "decode/exact_exp.h"
#include "decode/philox.h"

namespace lull {
namespace {

constexpr float kMinusInf = -std::numeric_limits<float>::infinity();
constexpr double kMaxPenalty = 1e6;
constexpr double kMinTemperature = 1e-30;  // below it 1 / temperature could overflow; same choice

Status BadParam(const char* field, double value, const char* range) {
  return {ErrorCode::kUsage, std::string(field) + " is " + std::to_string(value), field,
          std::string("give ") + range};
}

Status CheckRange(const char* field, double value, double low, double high, const char* range) {
  if (value >= low && value <= high) return Status::Ok();  // false for NaN
  return BadParam(field, value, range);
}

// min_p compares probabilities of one distribution, so it is a floor on logits.
float MinPFloor(double min_p, float max) {
  if (min_p <= 0.0) return kMinusInf;
  if (max == std::numeric_limits<float>::infinity()) return max;
  return std::min(max, static_cast<float>(max + exact::Log(std::max(min_p, 1e-300))));
}

}  // namespace

Status CheckSampling(const SamplingParams& params, int64_t vocab_size) {
  LULL_RETURN_IF_ERROR(CheckRange("temperature", params.temperature, 0.0, 1e6,
                                  "a number from 0 (greedy) to 1000000"));
  if (params.top_k < 0) {
    return BadParam("top_k", static_cast<double>(params.top_k), "0 (off) or a count above 0");
  }
  if (!(params.top_p > 0.0 && params.top_p <= 1.0)) {
    return BadParam("top_p", params.top_p, "a share above 0 and at most 1 (1: off)");
  }
  LULL_RETURN_IF_ERROR(CheckRange("min_p", params.min_p, 0.0, 1.0, "a share from 0 (off) to 1"));
  if (!(params.repetition_penalty > 0.0 && params.repetition_penalty <= kMaxPenalty)) {
    return BadParam("repetition_penalty", params.repetition_penalty,
                    "a factor above 0 (1: off), at most 1000000");
  }
  LULL_RETURN_IF_ERROR(CheckRange("frequency_penalty", params.frequency_penalty, -kMaxPenalty,
                                  kMaxPenalty, "a number, usually from -2 to 2"));
  LULL_RETURN_IF_ERROR(CheckRange("presence_penalty", params.presence_penalty, -kMaxPenalty,
                                  kMaxPenalty, "a number, usually from -2 to 2"));
  if (params.penalty_last_n < -1) {
    return BadParam("penalty_last_n", static_cast<double>(params.penalty_last_n),
                    "a count of tokens, 0 (none) or -1 (all)");
  }
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return {ErrorCode::kUsage, "logit_bias names token " + std::to_string(id), "logit_bias",
              "token ids of this model run from 0 to " + std::to_string(vocab_size - 1)};
    }
    if (!(bias < std::numeric_limits<double>::infinity())) {  // true for NaN and +inf
      return {ErrorCode::kUsage,
              "logit_bias of token " + std::to_string(id) + " is " + std::to_string(bias),
              "logit_bias", "give a finite number, or -infinity to forbid the token"};
    }
  }
  return Status::Ok();
}

Sampler::Sampler(const SamplingParams& params) : params_(params) {
  std::map<int32_t, double> sum;
  for (const auto& [id, bias] : params.logit_bias) sum[id] += bias;
  bias_.assign(sum.begin(), sum.end());
  params_.logit_bias.clear();
}

bool Sampler::penalises() const {
  return params_.penalty_last_n != 0 &&
         (params_.repetition_penalty != 1.0 || params_.frequency_penalty != 0.0 ||
          params_.presence_penalty != 0.0);
}

double Sampler::inverse_temperature() const {
  return 1.0 / std::max(params_.temperature, kMinTemperature);
}

void Sampler::Accept(int32_t token) {
  if (!penalises()) return;
  history_.push_back(token);
  ++counts_[token];
  const int64_t size = static_cast<int64_t>(history_.size());
  if (params_.penalty_last_n < 0 || size <= params_.penalty_last_n) return;
  const auto leaving =
      counts_.find(history_[static_cast<size_t>(size - 1 - params_.penalty_last_n)]);
  if (--leaving->second == 0) counts_.erase(leaving);
}

void Sampler::AcceptAll(const ExecContext& ctx, std::span<const int32_t> tokens) {
  if (!penalises()) return;
  WorkMeter meter(ctx);
  history_.reserve(2 * tokens.size());
  for (const int32_t token : tokens) {
    meter.Spend(16);
    Accept(token);
  }
}

void Sampler::Forget(const ExecContext& ctx) {
  WorkMeter meter(ctx);
  while (!counts_.empty()) {
    meter.Spend(4);
    counts_.erase(counts_.begin());
  }
  history_ = {};
}

void Sampler::Set(std::span<float> logits, int32_t id, double value) {
  float& logit = logits[static_cast<size_t>(id)];
  saved_.emplace_back(id, logit);
  logit = static_cast<float>(value);
}

void Sampler::Adjust(WorkMeter* meter, std::span<float> logits) {
  saved_.clear();
  for (const auto& [id, bias] : bias_) Set(logits, id, logits[static_cast<size_t>(id)] + bias);
  if (!penalises()) return;
  for (const auto& [id, count] : counts_) {
    meter->Spend(8);
    double logit = logits[static_cast<size_t>(id)];
    logit = logit > 0.0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    logit -= static_cast<double>(count) * params_.frequency_penalty + params_.presence_penalty;
    Set(logits, id, logit);
  }
}

void Sampler::Restore(WorkMeter* meter, std::span<float> logits) {
  for (; !saved_.empty(); saved_.pop_back()) {
    meter->Spend(1);
    logits[static_cast<size_t>(saved_.back().first)] = saved_.back().second;
  }
}

// A copy: most of a vocabulary is forbidden at a time, and the logits themselves are still wanted.
std::span<float> Sampler::Masked(const ExecContext& ctx, std::span<const float> logits,
                                 std::span<const uint32_t> allowed) {
  constexpr size_t kWordBits = 32;
  masked_.resize(logits.size());
  for (size_t begin = 0; begin < logits.size(); begin += kWordBits) {
    if (begin % kLogitBlock == 0) ctx.Checkpoint();
    const size_t end = std::min(begin + kWordBits, logits.size());
    const uint32_t word = allowed[begin / kWordBits];
    for (size_t i = begin; i < end; ++i)
      masked_[i] = (word >> (i - begin) & 1) != 0 ? logits[i] : kMinusInf;
  }
  return masked_;
}

Result<int32_t> Sampler::Sample(const ExecContext& ctx, std::span<float> logits, int64_t position,
                                std::span<const uint32_t> allowed) {
  WorkMeter meter(ctx);
  if (!allowed.empty()) logits = Masked(ctx, logits, allowed);
  Adjust(&meter, logits);
  int32_t token = ArgMax(ctx, logits);
  if (token >= 0 && params_.temperature > 0.0) {
    const float max = logits[static_cast<size_t>(token)];
    token = Draw(ctx, logits, max, UniformAt(params_.seed, position));
  }
  Restore(&meter, logits);
  if (token < 0 && !allowed.empty()) {
    return Error{ErrorCode::kInvalidInput, "no token may follow that the constraint allows",
                 "position " + std::to_string(position),
                 "logit_bias and the constraint forbid every token between them"};
  }
  if (token < 0) {
    return Error{ErrorCode::kInternal, "no logit is usable: all are NaN or -infinity",
                 "position " + std::to_string(position),
                 "the model file may be damaged, or logit_bias forbids every token"};
  }
  return token;
}

int32_t Sampler::Draw(const ExecContext& ctx, std::span<const float> logits, float max,
                      double uniform) {
  const float floor = MinPFloor(params_.min_p, max);
  const bool top_k = params_.top_k > 0 && params_.top_k < static_cast<int64_t>(logits.size());
  const bool top_p = params_.top_p < 1.0;
  WorkMeter meter(ctx);
  if (!top_k && !top_p) return DrawFromAll(ctx, logits, max, floor, uniform);
  if (top_k) {
    TopK(ctx, logits, static_cast<size_t>(params_.top_k), &candidates_);
    if (top_p) CutCandidatesToTopP(&meter, max);
    std::sort(candidates_.begin(), candidates_.end(),
              [&meter](const Candidate& a, const Candidate& b) {
                meter.Spend(1);
                return a.id < b.id;
              });
  } else {
    TopP(ctx, logits, max, params_.top_p, &candidates_);
  }
  return DrawFromCandidates(&meter, max, floor, uniform);
}

void Sampler::CutCandidatesToTopP(WorkMeter* meter, float max) {
  double total = 0.0;
  for (const Candidate& c : candidates_) {
    meter->Spend(2);
    total += ExpOfNonPositive(Below(c.logit, max));
  }
  double left = params_.top_p * total;
  size_t kept = 0;
  while (kept < candidates_.size() && left > 0.0) {
    meter->Spend(2);
    left -= ExpOfNonPositive(Below(candidates_[kept++].logit, max));
  }
  candidates_.resize(kept);
}

int32_t Sampler::DrawFromCandidates(WorkMeter* meter, float max, float floor, double uniform) {
  const double inverse = inverse_temperature();
  block_sums_.clear();
  block_sums_.reserve(candidates_.size());
  double total = 0.0;
  for (const Candidate& c : candidates_) {
    meter->Spend(2);
    const bool kept = c.logit >= floor && c.logit > kMinusInf;
    block_sums_.push_back(kept ? ExpOfNonPositive(Below(c.logit, max) * inverse) : 0.0);
    total += block_sums_.back();
  }
  double left = uniform * total;
  int32_t chosen = -1;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if ((i & 0xFF) == 0) meter->Spend(0x40);
    if (block_sums_[i] <= 0.0) continue;
    chosen = candidates_[i].id;
    if (left < block_sums_[i]) break;
    left -= block_sums_[i];
  }
  return chosen;
}

int32_t Sampler::DrawFromAll(const ExecContext& ctx, std::span<const float> logits, float max,
                             float floor, double uniform) {
  const double inverse = inverse_temperature();
  const size_t num_blocks = (logits.size() + kLogitBlock - 1) / kLogitBlock;
  const auto block = [&](size_t b) {
    return logits.subspan(b * kLogitBlock, std::min(kLogitBlock, logits.size() - b * kLogitBlock));
  };
  block_sums_.assign(num_blocks, 0.0);
  double total = 0.0;
  for (size_t b = 0; b < num_blocks; ++b) {
    block_sums_[b] = ExpSum(block(b), max, inverse, floor);
    total += block_sums_[b];
    ctx.Checkpoint();
  }
  double left = uniform * total;
  size_t b = 0;
  size_t last_used = 0;
  for (; b < num_blocks; ++b) {
    if (block_sums_[b] <= 0.0) continue;
    last_used = b;
    if (left < block_sums_[b]) break;
    left -= block_sums_[b];
  }
  const std::span<const float> x = block(last_used);
  int32_t chosen = -1;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(x[i] >= floor && x[i] > kMinusInf)) continue;
    const double weight = ExpOfNonPositive(Below(x[i], max) * inverse);
    chosen = static_cast<int32_t>(last_used * kLogitBlock + i);
    if (left < weight) break;
    left -= weight;
  }
  return chosen;
}

}  // namespace lull
