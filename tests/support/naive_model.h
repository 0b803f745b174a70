// The forward pass in double precision, a token after the other: see naive_forward.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "tests/support/naive_forward.h"

namespace lull::testing {

using Vec = std::vector<double>;

struct Matrix {
  size_t rows = 0, k = 0;
  Vec values;
  Vec Times(const double* x) const {
    Vec out(rows);
    for (size_t r = 0; r < rows; ++r)
      for (size_t i = 0; i < k; ++i) out[r] += values[r * k + i] * x[i];
    return out;
  }
};

inline double Silu(double x) { return x / (1.0 + std::exp(-x)); }
inline double GeluTanh(double x) {
  return 0.5 * x *
         (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

inline Vec RmsNorm(const double* x, size_t n, const Vec& weight, double eps) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(n) + eps);
  Vec out(n);
  for (size_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
  return out;
}

inline Matrix Rows(const Matrix& m, size_t begin, size_t rows) {
  Matrix part;
  part.rows = rows;
  part.k = m.k;
  const auto first = m.values.begin() + static_cast<std::ptrdiff_t>(begin * m.k);
  part.values.assign(first, first + static_cast<std::ptrdiff_t>(rows * m.k));
  return part;
}

inline void AddTo(Vec& x, const Vec& y, double scale = 1.0) {
  for (size_t i = 0; i < y.size(); ++i) x[i] += scale * y[i];
}

inline double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

class Naive {
 public:
  explicit Naive(const GgufFile& file) : file_(file) {
    arch_ = std::string(file.GetString("general.architecture").value());
  }

  NaiveResult Run(const std::vector<int32_t>& tokens);

 private:
  int64_t Int(const char* key, int64_t fallback) const {
    const auto value = file_.GetInt(arch_ + "." + key);
    return value.ok() ? value.value() : fallback;
  }
  double Float(const char* key, double fallback) const {
    const auto value = file_.GetFloat(arch_ + "." + key);
    return value.ok() ? value.value() : fallback;
  }
  std::string Name(size_t layer, const char* name) const {
    return "blk." + std::to_string(layer) + "." + name;
  }
  // All rows of all slices below each other; an empty matrix where absent.
  const Matrix& Load(const std::string& name);
  const Vec& Vector(const std::string& name) { return Load(name).values; }

  bool Is(std::initializer_list<const char*> names) const {
    return std::find(names.begin(), names.end(), arch_) != names.end();
  }
  std::string Text(const char* key) const {
    const auto value = file_.GetString(arch_ + "." + key);
    return value.ok() ? std::string(value.value()) : "";
  }
  double Frequency(size_t pair, double base, bool scaled) const;
  double Magnitude() const;
  void Rope(double* head, int64_t position, double base, bool scaled) const;
  double Temperature(size_t position) const;
  Vec Norm(const Vec& x, const std::string& weight) {
    const Vec& w = Vector(weight);
    return w.empty() ? x : ResidualNorm(x, w);
  }
  Vec ResidualNorm(Vec x, const Vec& weight) const {
    if (Is({"cohere2"})) {
      double sum = 0;
      for (const double value : x) sum += value;
      for (double& value : x) value -= sum / static_cast<double>(x.size());
    }
    return RmsNorm(x.data(), x.size(), weight, eps_);
  }
  void NormHeads(Vec& x, const Vec& norm) const;
  Vec TakeGates(Vec* q) const;
  double SharedShare(size_t layer, const Vec& x);
  std::vector<Vec> Attention(size_t layer, const std::vector<Vec>& normed);
  std::vector<Vec> ShortConv(size_t layer, const std::vector<Vec>& normed);
  // naive_recurrent.cc
  std::vector<Vec> Convolve(size_t layer, const std::vector<Vec>& input);
  std::vector<Vec> Mamba(size_t layer, const std::vector<Vec>& normed);
  std::vector<Vec> Mamba2(size_t layer, const std::vector<Vec>& normed);
  std::vector<Vec> DeltaNet(size_t layer, const std::vector<Vec>& normed);
  std::vector<Vec> LatentAttention(size_t layer, const std::vector<Vec>& normed);
  std::vector<Vec> Mix(size_t layer, const std::vector<Vec>& normed);
  bool Has(size_t layer, const char* name) const {
    return file_.FindTensor(Name(layer, name)) != nullptr;
  }
  Vec Dense(const Matrix& gate, const Matrix& up, const Matrix& down, const Vec& x,
            const Vec& gate_bias = {}, const Vec& up_bias = {}) const;
  Vec Feed(size_t layer, const Vec& x);
  // scores: the router's products, where they are not those of x.
  Vec Moe(size_t layer, const Vec& x, double* margin, const Vec* scores = nullptr);
  Vec DenseBesideMoe(size_t layer, const Vec& x, double* margin);
  std::vector<Vec> PerLayer(int32_t token, const Vec& x);
  bool Local(size_t layer) const;
  int64_t Window(size_t layer) const;

  const GgufFile& file_;
  std::string arch_;
  std::map<std::string, Matrix> cache_;
  std::map<size_t, std::vector<Vec>> keys_, values_;  // of each layer that has its own
  size_t embd_ = 0, heads_ = 0, head_dim_ = 0, rope_dims_ = 0;
  double eps_ = 0;
};

}  // namespace lull::testing
