// Mixers with a recurrent state, in double precision.
#include "tests/support/naive_model.h"

namespace lull::testing {
namespace {

double Softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }

Vec Part(const Vec& x, size_t begin, size_t size) {
  const auto first = x.begin() + static_cast<std::ptrdiff_t>(begin);
  return Vec(first, first + static_cast<std::ptrdiff_t>(size));
}

// Of length 1, as near as eps lets it.
Vec Unit(const Vec& x, double eps) {
  double sum = eps;
  for (const double value : x) sum += value * value;
  Vec out = x;
  for (double& value : out) value /= std::sqrt(sum);
  return out;
}

}  // namespace

// Causal and depth-wise, then SiLU.
std::vector<Vec> Naive::Convolve(size_t layer, const std::vector<Vec>& input) {
  const Vec& kernel = Vector(Name(layer, "ssm_conv1d.weight"));
  const Vec& bias = Vector(Name(layer, "ssm_conv1d.bias"));
  const size_t channels = input[0].size(), taps = kernel.size() / channels;
  std::vector<Vec> out;
  for (size_t t = 0; t < input.size(); ++t) {
    Vec y = bias.empty() ? Vec(channels) : bias;
    for (size_t i = 0; i < channels; ++i) {
      for (size_t j = 0; j < taps; ++j)
        if (t + j + 1 >= taps) y[i] += kernel[i * taps + j] * input[t + j + 1 - taps][i];
      y[i] = Silu(y[i]);
    }
    out.push_back(y);
  }
  return out;
}

std::vector<Vec> Naive::Mamba(size_t layer, const std::vector<Vec>& normed) {
  const Matrix& in = Load(Name(layer, "ssm_in.weight"));
  const Matrix& steps = Load(Name(layer, "ssm_x.weight"));
  const Matrix& widths = Load(Name(layer, "ssm_dt.weight"));
  const Matrix& rates = Load(Name(layer, "ssm_a"));
  const Vec& skip = Vector(Name(layer, "ssm_d"));
  const size_t inner = in.rows / 2, n = rates.k, rank = widths.k;
  std::vector<Vec> x, z, out;
  for (const Vec& row : normed) {
    const Vec both = in.Times(row.data());
    x.push_back(Part(both, 0, inner));
    z.push_back(Part(both, inner, inner));
  }
  x = Convolve(layer, x);
  Vec state(inner * n);
  for (size_t t = 0; t < x.size(); ++t) {
    const Vec projected = steps.Times(x[t].data());
    Vec width = widths.Times(projected.data());
    AddTo(width, Vector(Name(layer, "ssm_dt.bias")));
    Vec y(inner);
    for (size_t c = 0; c < inner; ++c) {
      const double dt = Softplus(width[c]);
      y[c] = skip[c] * x[t][c];
      for (size_t i = 0; i < n; ++i) {
        double& value = state[c * n + i];
        value = value * std::exp(dt * rates.values[c * n + i]) + dt * x[t][c] * projected[rank + i];
        y[c] += value * projected[rank + n + i];
      }
      y[c] *= Silu(z[t][c]);
    }
    out.push_back(Load(Name(layer, "ssm_out.weight")).Times(y.data()));
  }
  return out;
}

std::vector<Vec> Naive::Mamba2(size_t layer, const std::vector<Vec>& normed) {
  const Matrix& in = Load(Name(layer, "ssm_in.weight"));
  const Vec& rates = Vector(Name(layer, "ssm_a"));
  const Vec& skip = Vector(Name(layer, "ssm_d"));
  const Matrix& norm = Load(Name(layer, "ssm_norm.weight"));
  const size_t heads = rates.size(), groups = norm.rows, inner = norm.values.size();
  const size_t channels = in.rows - inner - heads, n = (channels - inner) / 2 / groups;
  const size_t dim = inner / heads;
  std::vector<Vec> z, x, width, out;
  for (const Vec& row : normed) {
    const Vec all = in.Times(row.data());
    z.push_back(Part(all, 0, inner));
    x.push_back(Part(all, inner, channels));
    width.push_back(Part(all, inner + channels, heads));
    AddTo(width.back(), Vector(Name(layer, "ssm_dt.bias")));
  }
  x = Convolve(layer, x);
  Vec state(inner * n);
  for (size_t t = 0; t < x.size(); ++t) {
    Vec y(inner);
    for (size_t c = 0; c < inner; ++c) {
      const size_t head = c / dim, group = head / (heads / groups);
      const double dt = Softplus(width[t][head]);
      y[c] = skip[head] * x[t][c];
      for (size_t i = 0; i < n; ++i) {
        double& value = state[c * n + i];
        value = value * std::exp(dt * rates[head]) + dt * x[t][c] * x[t][inner + group * n + i];
        y[c] += value * x[t][inner + (groups + group) * n + i];
      }
      y[c] *= Silu(z[t][c]);
    }
    for (size_t g = 0; g < groups; ++g) {
      const Vec part = RmsNorm(&y[g * norm.k], norm.k, Part(norm.values, g * norm.k, norm.k), eps_);
      std::copy(part.begin(), part.end(), y.begin() + static_cast<std::ptrdiff_t>(g * norm.k));
    }
    out.push_back(Load(Name(layer, "ssm_out.weight")).Times(y.data()));
  }
  return out;
}

std::vector<Vec> Naive::DeltaNet(size_t layer, const std::vector<Vec>& normed) {
  const Matrix& in = Load(Name(layer, "attn_qkv.weight"));
  const Vec& rates = Vector(Name(layer, "ssm_a"));
  const Vec& norm = Vector(Name(layer, "ssm_norm.weight"));
  const size_t heads = rates.size(), dim = norm.size();
  const size_t key_heads = (in.rows / dim - heads) / 2;
  std::vector<Vec> x, out;
  for (const Vec& row : normed) x.push_back(in.Times(row.data()));
  x = Convolve(layer, x);
  Vec state(heads * dim * dim);
  for (size_t t = 0; t < x.size(); ++t) {
    Vec decay = Load(Name(layer, "ssm_alpha.weight")).Times(normed[t].data());
    const Vec share = Load(Name(layer, "ssm_beta.weight")).Times(normed[t].data());
    const Vec gate = Load(Name(layer, "attn_gate.weight")).Times(normed[t].data());
    AddTo(decay, Vector(Name(layer, "ssm_dt.bias")));
    Vec y;
    for (size_t h = 0; h < heads; ++h) {
      const size_t from = h % key_heads;
      const Vec q = Unit(Part(x[t], from * dim, dim), eps_);
      const Vec k = Unit(Part(x[t], (key_heads + from) * dim, dim), eps_);
      const double keep = std::exp(Softplus(decay[h]) * rates[h]);
      Vec answer(dim);
      for (size_t i = 0; i < dim; ++i) {
        double* row = &state[(h * dim + i) * dim];
        double known = 0;
        for (size_t j = 0; j < dim; ++j) known += (row[j] *= keep) * k[j];
        const double v = x[t][(2 * key_heads + h) * dim + i];
        for (size_t j = 0; j < dim; ++j) {
          row[j] += (v - known) * Sigmoid(share[h]) * k[j];
          answer[i] += row[j] * q[j] / std::sqrt(static_cast<double>(dim));
        }
      }
      const Vec normed_answer = RmsNorm(answer.data(), dim, norm, eps_);
      for (size_t i = 0; i < dim; ++i) y.push_back(normed_answer[i] * Silu(gate[h * dim + i]));
    }
    out.push_back(Load(Name(layer, "ssm_out.weight")).Times(y.data()));
  }
  return out;
}

// DeepSeek V2's attention, in the space of its latents.
std::vector<Vec> Naive::LatentAttention(size_t layer, const std::vector<Vec>& normed) {
  const auto kv_rank = static_cast<size_t>(Int("attention.kv_lora_rank", 0));
  const auto key = static_cast<size_t>(Int("attention.key_length_mla", 0));
  const size_t still = key - rope_dims_;
  const Matrix& k_b = Load(Name(layer, "attn_k_b.weight"));
  const Matrix& v_b = Load(Name(layer, "attn_v_b.weight"));
  const size_t value = v_b.rows / heads_;
  const double base = Float("rope.freq_base", 10000.0);
  const double stretch = 0.1 * std::log(Float("rope.scaling.factor", 1.0));
  const double sharp = 1 + 10 * Float("rope.scaling.yarn_log_multiplier", 0.0) * stretch;
  const double scale = sharp * sharp / std::sqrt(static_cast<double>(key));
  std::vector<Vec> latents, turned, out;
  for (size_t t = 0; t < normed.size(); ++t) {
    const Vec low = Load(Name(layer, "attn_q_a.weight")).Times(normed[t].data());
    Vec q = Load(Name(layer, "attn_q_b.weight"))
                .Times(Norm(low, Name(layer, "attn_q_a_norm.weight")).data());
    const Vec kv = Load(Name(layer, "attn_kv_a_mqa.weight")).Times(normed[t].data());
    latents.push_back(Norm(Part(kv, 0, kv_rank), Name(layer, "attn_kv_a_norm.weight")));
    turned.push_back(Part(kv, kv_rank, rope_dims_));
    Rope(turned[t].data(), static_cast<int64_t>(t), base, true);
    Vec mixed;
    for (size_t h = 0; h < heads_; ++h) {
      Rope(&q[h * key + still], static_cast<int64_t>(t), base, true);
      const Vec to_latent = Rows(k_b, h * kv_rank, kv_rank).Times(&q[h * key]);
      Vec score(t + 1);
      for (size_t p = 0; p <= t; ++p) {
        for (size_t i = 0; i < kv_rank; ++i) score[p] += to_latent[i] * latents[p][i];
        for (size_t i = 0; i < rope_dims_; ++i) score[p] += q[h * key + still + i] * turned[p][i];
        score[p] *= scale;
      }
      const double top = *std::max_element(score.begin(), score.end());
      double sum = 0;
      for (double& s : score) sum += s = std::exp(s - top);
      Vec read(kv_rank);
      for (size_t p = 0; p <= t; ++p) AddTo(read, latents[p], score[p] / sum);
      const Vec v = Rows(v_b, h * value, value).Times(read.data());
      mixed.insert(mixed.end(), v.begin(), v.end());
    }
    out.push_back(Load(Name(layer, "attn_output.weight")).Times(mixed.data()));
  }
  return out;
}

std::vector<Vec> Naive::Mix(size_t layer, const std::vector<Vec>& normed) {
  if (Has(layer, "shortconv.conv.weight")) return ShortConv(layer, normed);
  if (Has(layer, "ssm_x.weight")) return Mamba(layer, normed);
  if (Has(layer, "ssm_in.weight")) return Mamba2(layer, normed);
  if (Has(layer, "ssm_beta.weight")) return DeltaNet(layer, normed);
  if (Has(layer, "attn_kv_a_mqa.weight")) return LatentAttention(layer, normed);
  return Attention(layer, normed);
}

}  // namespace lull::testing
