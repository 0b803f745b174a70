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

std::vector<Vec> Naive::Mix(size_t layer, const std::vector<Vec>& normed) {
  if (Has(layer, "shortconv.conv.weight")) return ShortConv(layer, normed);
  if (Has(layer, "ssm_x.weight")) return Mamba(layer, normed);
  if (Has(layer, "ssm_in.weight")) return Mamba2(layer, normed);
  if (Has(layer, "ssm_beta.weight")) return DeltaNet(layer, normed);
  return Attention(layer, normed);
}

}  // namespace lull::testing
