#include "decode/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>

#include "decode/exact_exp.h"
#include "decode/logits.h"
#include "decode/philox.h"

namespace lull {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

std::vector<float> RandomLogits(size_t n, uint32_t seed, float spread = 4.0f) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> x(n);
  for (float& v : x) v = normal(rng);
  return x;
}

int32_t SampleOnce(const SamplingParams& params, std::vector<float> logits, int64_t position = 0) {
  Sampler sampler(params);
  const std::vector<float> before = logits;
  Result<int32_t> token = sampler.Sample({}, logits, position);
  EXPECT_EQ(0, std::memcmp(before.data(), logits.data(), before.size() * sizeof(float)));
  return token.ok() ? *token : -1;
}

// How often each token was drawn over positions 0..n-1.
std::map<int32_t, double> Frequencies(const SamplingParams& params, std::vector<float> logits,
                                      int n) {
  Sampler sampler(params);
  std::map<int32_t, double> share;
  for (int i = 0; i < n; ++i) share[*sampler.Sample({}, logits, i)] += 1.0 / n;
  return share;
}

std::vector<double> Softmax(const std::vector<float>& x, double temperature) {
  const double max = *std::max_element(x.begin(), x.end());
  std::vector<double> p;
  double sum = 0;
  for (float v : x) sum += p.emplace_back(std::exp((v - max) / temperature));
  for (double& v : p) v /= sum;
  return p;
}

TEST(ExactExp, AgreesWithLibm) {
  for (double x = 0.0; x > -690.0; x -= 0.0137) {
    EXPECT_NEAR(ExpOfNonPositive(x) / std::exp(x), 1.0, 1e-12) << x;
  }
  EXPECT_EQ(ExpOfNonPositive(0.0), 1.0);
  EXPECT_LT(ExpOfNonPositive(-std::numeric_limits<double>::infinity()), 1e-300);
}

TEST(Philox, KnownAnswers) {  // the published test vectors of Philox4x32-10
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t f = 0xffffffff;
  EXPECT_EQ(Philox4x32({f, f, f, f}, {f, f}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Logits, ArgMaxTiesAndSpecials) {
  EXPECT_EQ(ArgMax({}, std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(ArgMax({}, std::vector<float>{kNan, -kInf, -5, kNan}), 2);
  EXPECT_EQ(ArgMax({}, std::vector<float>{kNan, -kInf}), -1);
  EXPECT_EQ(ArgMax({}, std::vector<float>{}), -1);
  EXPECT_EQ(ArgMax({}, std::vector<float>{1, kInf, kInf}), 1);
  for (size_t n : {1u, 15u, 16u, 17u, 8191u, 8193u, 40000u}) {
    std::vector<float> x = RandomLogits(n, static_cast<uint32_t>(n));
    for (float& v : x) v = std::round(v);                    // many ties
    const auto best = std::max_element(x.begin(), x.end());  // the first of equals
    EXPECT_EQ(ArgMax({}, x), best - x.begin()) << n;
  }
}

TEST(Logits, TopKEqualsStableSort) {
  for (size_t n : {5u, 600u, 20000u}) {
    std::vector<float> x = RandomLogits(n, static_cast<uint32_t>(n));
    for (float& v : x) v = std::round(v * 2);
    x[2] = kNan;
    std::vector<Candidate> want;
    for (size_t i = 0; i < n; ++i) {
      if (x[i] == x[i]) want.push_back({static_cast<int32_t>(i), x[i]});
    }
    std::stable_sort(want.begin(), want.end(),
                     [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
    for (size_t k : {0u, 1u, 4u, 100u, 512u, 513u, 5000u, 30000u}) {
      std::vector<Candidate> got;
      TopK({}, x, k, &got);
      ASSERT_EQ(got.size(), std::min(k, want.size())) << n << " " << k;
      for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].id, want[i].id) << n << " " << k;
    }
  }
}

TEST(Logits, TopPIsTheSmallestSufficientSet) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const size_t n = 50 + seed * 700;
    std::vector<float> x = RandomLogits(n, seed, 0.3f + static_cast<float>(seed % 5));
    if (seed % 3 == 0) {
      for (float& v : x) v = std::round(v);
    }
    x[1] = kNan;
    x[2] = -kInf;
    std::vector<Candidate> sorted;
    TopK({}, x, n, &sorted);
    const float max = sorted[0].logit;
    double total = 0;
    for (const Candidate& c : sorted) total += std::exp(Below(c.logit, max));
    for (double p : {0.01, 0.3, 0.5, 0.9, 0.999}) {
      std::vector<int32_t> want;
      double mass = 0;
      for (size_t i = 0; i < sorted.size() && mass < p * total - 1e-9 * total; ++i) {
        mass += std::exp(Below(sorted[i].logit, max));
        want.push_back(sorted[i].id);
      }
      std::sort(want.begin(), want.end());
      std::vector<Candidate> got;
      TopP({}, x, max, p, &got);
      std::vector<int32_t> ids;
      for (const Candidate& c : got) ids.push_back(c.id);
      EXPECT_EQ(ids, want) << "seed " << seed << " p " << p;
    }
  }
}

TEST(Sampler, GreedyTakesTheLowestOfTies) {
  EXPECT_EQ(SampleOnce({}, {0, 7, 7, 1}), 1);
  EXPECT_EQ(SampleOnce({}, {kNan, 7, 7, 1}), 1);
}

TEST(Sampler, NoUsableLogitIsAnError) {
  for (double temperature : {0.0, 1.0}) {
    SamplingParams params;
    params.temperature = temperature;
    Sampler sampler(params);
    std::vector<float> x{kNan, -kInf, kNan};
    const Result<int32_t> token = sampler.Sample({}, x, 5);
    ASSERT_FALSE(token.ok());
    EXPECT_EQ(token.error().code, ErrorCode::kInternal);
    EXPECT_EQ(token.error().where, "position 5");
  }
}

TEST(Sampler, DrawsTheSoftmaxDistribution) {
  const std::vector<float> x = RandomLogits(40, 3, 1.5f);
  for (double temperature : {0.5, 1.0, 2.0}) {
    SamplingParams params;
    params.temperature = temperature;
    params.seed = 42;
    const int n = 40000;
    const std::vector<double> p = Softmax(x, temperature);
    double chi2 = 0;
    const std::map<int32_t, double> share = Frequencies(params, x, n);
    for (int32_t id = 0; id < 40; ++id) {
      const double got = share.count(id) ? share.at(id) : 0.0;
      chi2 += n * (got - p[static_cast<size_t>(id)]) * (got - p[static_cast<size_t>(id)]) /
              p[static_cast<size_t>(id)];
    }
    EXPECT_LT(chi2, 80.0) << temperature;  // 39 degrees of freedom: p < 0.0002; the seed is fixed
    EXPECT_GT(chi2, 12.0) << temperature;
  }
}

TEST(Sampler, FiltersKeepWhatTheyShould) {
  const std::vector<float> x{2.0f, 1.0f, 0.0f, -1.0f, 1.0f};  // softmax .56 .21 .08 .03 .21 about
  SamplingParams params;
  params.temperature = 1.5;
  const auto support = [&](auto&& change) {
    SamplingParams p = params;
    change(p);
    std::vector<int32_t> ids;
    for (const auto& [id, share] : Frequencies(p, x, 4000)) ids.push_back(id);
    return ids;
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(support([](auto&) {}), (Ids{0, 1, 2, 3, 4}));
  EXPECT_EQ(support([](auto& p) { p.top_k = 2; }), (Ids{0, 1}));  // the tie goes to the lower id
  EXPECT_EQ(support([](auto& p) { p.top_k = 3; }), (Ids{0, 1, 4}));
  EXPECT_EQ(support([](auto& p) { p.top_p = 0.5; }), (Ids{0}));
  EXPECT_EQ(support([](auto& p) { p.top_p = 0.6; }), (Ids{0, 1}));
  EXPECT_EQ(support([](auto& p) { p.top_p = 0.8; }), (Ids{0, 1, 4}));
  EXPECT_EQ(support([](auto& p) { p.min_p = 0.3; }), (Ids{0, 1, 4}));
  EXPECT_EQ(support([](auto& p) { p.min_p = 1.0; }), (Ids{0}));
  // top_p looks at what top_k left: 2.0 and 1.0 alone are .73 and .27.
  EXPECT_EQ(support([](auto& p) { p.top_k = 2, p.top_p = 0.7; }), (Ids{0}));
  EXPECT_EQ(support([](auto& p) { p.logit_bias = {{3, 9.0}, {3, 1.0}}, p.top_k = 1; }), (Ids{3}));
  EXPECT_EQ(support([](auto& p) { p.logit_bias = {{0, -kInf}}; }), (Ids{1, 2, 3, 4}));
}

TEST(Sampler, TopPAfterWideTopKEqualsTopPAlone) {
  std::vector<float> x = RandomLogits(3000, 9, 2.0f);
  SamplingParams alone;
  alone.temperature = 0.8;
  alone.top_p = 0.9;
  SamplingParams both = alone;
  both.top_k = 2999;
  for (int64_t position = 0; position < 300; ++position) {
    EXPECT_EQ(SampleOnce(alone, x, position), SampleOnce(both, x, position));
  }
}

TEST(Sampler, DependsOnSeedAndPositionAlone) {
  const std::vector<float> x = RandomLogits(5000, 11, 1.0f);
  SamplingParams params;
  params.temperature = 1.0;
  params.seed = 7;
  Sampler sampler(params);
  std::vector<int32_t> forward, backward;
  std::vector<float> work = x;
  for (int64_t p = 0; p < 50; ++p) forward.push_back(*sampler.Sample({}, work, p));
  for (int64_t p = 50; p-- > 0;) backward.push_back(SampleOnce(params, x, p));
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(forward, backward);
  params.seed = 8;
  std::vector<int32_t> other;
  for (int64_t p = 0; p < 50; ++p) other.push_back(SampleOnce(params, x, p));
  EXPECT_NE(forward, other);
}

TEST(Sampler, Penalties) {
  SamplingParams params;
  params.frequency_penalty = 1.0;
  params.penalty_last_n = 3;
  Sampler sampler(params);
  std::vector<float> x{5.0f, 4.0f, 1.0f};
  const auto next = [&] {
    const int32_t token = *sampler.Sample({}, x, 0);
    sampler.Accept(token);
    return token;
  };
  // Adjusted pairs: 5 4 | 4 4 | 3 4 | 3 3 | then with a window of three 3 3 | 3 3 | 2 4.
  const std::vector<int32_t> got{next(), next(), next(), next(), next(), next(), next()};
  EXPECT_EQ(got, (std::vector<int32_t>{0, 0, 1, 0, 0, 0, 1}));

  SamplingParams repetition;
  repetition.repetition_penalty = 2.0;
  Sampler r(repetition);
  r.Accept(0);
  r.Accept(1);
  std::vector<float> y{4.0f, -1.0f, 2.5f, -1.5f};  // become 2, -2
  EXPECT_EQ(*r.Sample({}, y, 0), 2);
  SamplingParams presence;
  presence.presence_penalty = 1.0;
  presence.penalty_last_n = -1;
  Sampler p(presence);
  for (int i = 0; i < 100; ++i) p.Accept(0);
  std::vector<float> z{3.5f, 2.0f};
  EXPECT_EQ(*p.Sample({}, z, 0), 0);  // once, however often it came
}

TEST(Sampler, ExtremeValuesNeverEscape) {
  std::mt19937 rng(5);
  const float specials[] = {kNan, kInf, -kInf, 3e38f, -3e38f, 0.0f, -0.0f, 1e-40f, 1.0f};
  for (int round = 0; round < 3000; ++round) {
    std::vector<float> x(1 + rng() % 40);
    bool usable = false;
    for (float& v : x) {
      v = specials[rng() % 9];
      usable |= v > -kInf;
    }
    SamplingParams params;
    params.temperature = std::vector<double>{0, 1e-300, 1, 1e6}[rng() % 4];
    params.top_k = static_cast<int64_t>(rng() % 5);
    params.top_p = std::vector<double>{1, 1e-300, 0.5, 0.9999999999}[rng() % 4];
    params.min_p = std::vector<double>{0, 1e-310, 0.5, 1}[rng() % 4];
    params.seed = rng();
    ASSERT_TRUE(CheckSampling(params, 100).ok());
    const int32_t token = SampleOnce(params, x, round);
    if (!usable) {
      EXPECT_EQ(token, -1);
      continue;
    }
    ASSERT_GE(token, 0);
    ASSERT_LT(static_cast<size_t>(token), x.size());
    EXPECT_GT(x[static_cast<size_t>(token)], -kInf);  // false for NaN too
  }
}

TEST(CheckSampling, NamesFieldAndRange) {
  const auto where = [](auto&& change) {
    SamplingParams p;
    change(p);
    const Status status = CheckSampling(p, 100);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), ErrorCode::kUsage);
      EXPECT_FALSE(status.error().hint.empty());
    }
    return status.error().where;
  };
  const double nan = std::nan("");
  EXPECT_EQ(where([](auto&) {}), "");
  EXPECT_EQ(where([](auto& p) { p.temperature = -0.1; }), "temperature");
  EXPECT_EQ(where([&](auto& p) { p.temperature = nan; }), "temperature");
  EXPECT_EQ(where([](auto& p) { p.temperature = kInf; }), "temperature");
  EXPECT_EQ(where([](auto& p) { p.top_k = -1; }), "top_k");
  EXPECT_EQ(where([](auto& p) { p.top_p = 0; }), "top_p");
  EXPECT_EQ(where([](auto& p) { p.top_p = 1.01; }), "top_p");
  EXPECT_EQ(where([&](auto& p) { p.top_p = nan; }), "top_p");
  EXPECT_EQ(where([](auto& p) { p.min_p = -1; }), "min_p");
  EXPECT_EQ(where([](auto& p) { p.repetition_penalty = 0; }), "repetition_penalty");
  EXPECT_EQ(where([&](auto& p) { p.frequency_penalty = nan; }), "frequency_penalty");
  EXPECT_EQ(where([&](auto& p) { p.presence_penalty = kInf; }), "presence_penalty");
  EXPECT_EQ(where([](auto& p) { p.penalty_last_n = -2; }), "penalty_last_n");
  EXPECT_EQ(where([](auto& p) { p.logit_bias = {{100, 1.0}}; }), "logit_bias");
  EXPECT_EQ(where([](auto& p) { p.logit_bias = {{-1, 1.0}}; }), "logit_bias");
  EXPECT_EQ(where([&](auto& p) { p.logit_bias = {{1, nan}}; }), "logit_bias");
  EXPECT_EQ(where([](auto& p) { p.logit_bias = {{1, kInf}}; }), "logit_bias");
}

std::vector<uint32_t> MaskOf(const std::vector<int32_t>& tokens, size_t vocab) {
  std::vector<uint32_t> mask((vocab + 31) / 32);
  for (const int32_t token : tokens)
    mask[static_cast<size_t>(token) / 32] |= 1u << (static_cast<size_t>(token) % 32);
  return mask;
}

// The same choice as with every forbidden token biased to -infinity, whatever the other settings.
TEST(Sampler, AMaskForbidsLikeABiasOfMinusInfinity) {
  constexpr size_t kVocab = 20'000 + 17;
  std::mt19937 rng(5);
  for (int round = 0; round < 40; ++round) {
    std::vector<float> logits = RandomLogits(kVocab, rng());
    const std::vector<float> before = logits;
    std::vector<int32_t> allowed, forbidden;
    for (int32_t id = 0; id + 1 < static_cast<int32_t>(kVocab); ++id)
      (rng() % (round % 2 == 0 ? 5000 : 3) == 0 ? allowed : forbidden).push_back(id);
    allowed.push_back(static_cast<int32_t>(kVocab) - 1);
    SamplingParams params;
    params.temperature = round % 3 * 0.7;
    if (round % 4 == 1) params.top_k = 40;
    if (round % 5 == 2) params.top_p = 0.8;
    if (round % 7 == 3) params.frequency_penalty = 0.3;
    params.seed = rng();
    SamplingParams biased = params;
    for (const int32_t id : forbidden) biased.logit_bias.emplace_back(id, -kInf);
    Sampler masked_sampler(params), biased_sampler(biased);
    for (const int32_t token : {1, 2, 2, 3}) {
      masked_sampler.Accept(token);
      biased_sampler.Accept(token);
    }
    const auto got = masked_sampler.Sample({}, logits, round, MaskOf(allowed, kVocab));
    const auto want = biased_sampler.Sample({}, logits, round);
    ASSERT_TRUE(got.ok() && want.ok());
    EXPECT_EQ(*got, *want);
    EXPECT_EQ(0, std::memcmp(logits.data(), before.data(), kVocab * sizeof(float)));
  }
}

TEST(Sampler, AMaskThatAllowsNothingIsAnError) {
  std::vector<float> logits = RandomLogits(100, 1);
  Sampler sampler({});
  const auto token = sampler.Sample({}, logits, 7, std::vector<uint32_t>(4));
  ASSERT_FALSE(token.ok());
  EXPECT_EQ(token.error().code, ErrorCode::kInvalidInput);
}

// The wide loop gives the bits of the plain one: 8 lanes, each in ascending order.
TEST(ExpSum, IsTheSumInItsFixedOrder) {
  std::mt19937 rng(9);
  for (const size_t n : {1u, 7u, 8u, 511u, 512u, 513u, 1000u, 8192u}) {
    for (const float floor : {-kInf, -1.5f}) {
      std::vector<float> x = RandomLogits(n, rng(), 30.0f);
      for (float& v : x) {
        if (rng() % 20 == 0) v = rng() % 2 == 0 ? kNan : -kInf;
      }
      const float max = 95.0f;
      x[rng() % n] = max;
      double lane[8] = {};
      for (size_t i = 0; i < n; ++i) {
        if (x[i] >= floor && x[i] > -kInf)
          lane[i % 8] += ExpOfNonPositive(Below(std::min(x[i], max), max) * 0.7);
      }
      for (float& v : x) v = v > max ? max : v;
      const double want =
          ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
      EXPECT_EQ(ExpSum(x, max, 0.7, floor), want) << n;
    }
  }
  const std::vector<float> infinite = {kInf, 1.0f, kInf};
  EXPECT_EQ(ExpSum(infinite, kInf, 1.0, -kInf), 2.0 + ExpOfNonPositive(-700.0));
}

}  // namespace
}  // namespace lull
