#include "tests/support/naive_forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numbers>
#include <string>

#include "base/f16.h"
#include "quant/quant_format.h"

namespace lull::testing {
namespace {

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

double Silu(double x) { return x / (1.0 + std::exp(-x)); }
double GeluTanh(double x) {
  return 0.5 * x *
         (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

Vec RmsNorm(const double* x, size_t n, const Vec& weight, double eps) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(n) + eps);
  Vec out(n);
  for (size_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
  return out;
}

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

  void Rope(double* head, int64_t position, double base, double factor) const;
  std::vector<Vec> Attention(size_t layer, const std::vector<Vec>& normed);
  std::vector<Vec> ShortConv(size_t layer, const std::vector<Vec>& normed);
  Vec Dense(const Matrix& gate, const Matrix& up, const Matrix& down, const Vec& x) const;
  Vec Moe(size_t layer, const Vec& x, double* margin);
  bool Local(size_t layer) const;
  int64_t Window(size_t layer) const;

  const GgufFile& file_;
  std::string arch_;
  std::map<std::string, Matrix> cache_;
  size_t embd_ = 0, heads_ = 0, head_dim_ = 0, rope_dims_ = 0;
  double eps_ = 0;
};

const Matrix& Naive::Load(const std::string& name) {
  if (auto it = cache_.find(name); it != cache_.end()) return it->second;
  Matrix& m = cache_[name];
  const GgufTensor* tensor = file_.FindTensor(name);
  if (tensor == nullptr) return m;
  m.k = tensor->dims[0];
  m.rows = 1;
  for (size_t d = 1; d < tensor->dims.size(); ++d) m.rows *= tensor->dims[d];
  const size_t row_bytes = tensor->data.size() / m.rows;
  const QuantFormat* format = FindQuantFormat(tensor->type_id);
  std::vector<float> row(m.k);
  std::vector<uint8_t> group(format->block_k <= m.k ? format->GroupBytes(m.k) : 0);
  for (size_t r = 0; r < m.rows; ++r) {
    const uint8_t* source = tensor->data.data() + r * row_bytes;
    if (tensor->type_id == 0) {
      memcpy(row.data(), source, row_bytes);
    } else {
      format->repack_group(source, 1, m.k, group.data());
      format->dequantize_row(group.data(), 0, m.k, row.data());
    }
    m.values.insert(m.values.end(), row.begin(), row.end());
  }
  return m;
}

void Naive::Rope(double* head, int64_t position, double base, double factor) const {
  const bool neox = arch_ != "llama";
  const Vec* factors = nullptr;
  if (auto it = cache_.find("rope_freqs.weight"); it != cache_.end() && !it->second.values.empty())
    factors = &it->second.values;
  const size_t half = rope_dims_ / 2;
  for (size_t i = 0; i < half; ++i) {
    double frequency =
        std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(rope_dims_)) / factor;
    if (factors != nullptr) frequency /= (*factors)[i];
    const double angle = static_cast<double>(position) * frequency;
    double& a = head[neox ? i : 2 * i];
    double& b = head[neox ? i + half : 2 * i + 1];
    const double rotated = a * std::cos(angle) - b * std::sin(angle);
    b = a * std::sin(angle) + b * std::cos(angle);
    a = rotated;
  }
}

bool Naive::Local(size_t layer) const {
  if (arch_ != "gemma3" || Int("attention.sliding_window", 0) == 0) return false;
  const auto pattern = file_.GetIntArray(arch_ + ".attention.sliding_window_pattern");
  if (pattern.ok()) return pattern.value()[layer] != 0;
  const auto period = static_cast<size_t>(Int("attention.sliding_window_pattern", 6));
  return layer % period != period - 1;
}

int64_t Naive::Window(size_t layer) const {
  const int64_t window = Int("attention.sliding_window", 0);
  return arch_ != "gemma3" || Local(layer) ? window : 0;
}

std::vector<Vec> Naive::Attention(size_t layer, const std::vector<Vec>& normed) {
  const Matrix& wq = Load(Name(layer, "attn_q.weight"));
  const Matrix& wk = Load(Name(layer, "attn_k.weight"));
  const Matrix& wv = Load(Name(layer, "attn_v.weight"));
  const Matrix& wo = Load(Name(layer, "attn_output.weight"));
  const Vec& q_norm = Vector(Name(layer, "attn_q_norm.weight"));
  const Vec& k_norm = Vector(Name(layer, "attn_k_norm.weight"));
  const size_t kv_heads = wk.rows / head_dim_;
  const double base =
      Local(layer) ? Float("rope.freq_base_swa", 10000.0) : Float("rope.freq_base", 10000.0);
  const double factor = Local(layer) ? 1.0 : Float("rope.scaling.factor", 1.0);
  double scale = 1.0 / std::sqrt(static_cast<double>(head_dim_));
  if (arch_ == "gemma3" && Int("block_count", 0) == 62)
    scale = 1.0 / std::sqrt(static_cast<double>(embd_ / heads_));
  scale = Float("attention.scale", scale);
  const int64_t window = Window(layer);
  std::vector<Vec> q, k, v, out;
  const auto prepare = [&](Vec& x, const char* bias, const Vec& norm, size_t heads, bool rotate,
                           size_t position) {
    const Vec& b = Vector(Name(layer, bias));
    for (size_t i = 0; i < b.size(); ++i) x[i] += b[i];
    for (size_t h = 0; rotate && h < heads; ++h) {
      if (!norm.empty()) {
        const Vec normed_head = RmsNorm(&x[h * head_dim_], head_dim_, norm, eps_);
        std::copy(normed_head.begin(), normed_head.end(),
                  x.begin() + static_cast<std::ptrdiff_t>(h * head_dim_));
      }
      Rope(&x[h * head_dim_], static_cast<int64_t>(position), base, factor);
    }
  };
  for (size_t t = 0; t < normed.size(); ++t) {
    q.push_back(wq.Times(normed[t].data()));
    k.push_back(wk.Times(normed[t].data()));
    v.push_back(wv.Times(normed[t].data()));
    prepare(q[t], "attn_q.bias", q_norm, heads_, true, t);
    prepare(k[t], "attn_k.bias", k_norm, kv_heads, true, t);
    prepare(v[t], "attn_v.bias", {}, kv_heads, false, t);
    Vec mixed(heads_ * head_dim_);
    for (size_t h = 0; h < heads_; ++h) {
      const size_t kv = h / (heads_ / kv_heads);
      const size_t first =
          window > 0 && static_cast<int64_t>(t) >= window ? t - static_cast<size_t>(window) + 1 : 0;
      Vec score;
      for (size_t p = first; p <= t; ++p) {
        double dot = 0;
        for (size_t i = 0; i < head_dim_; ++i)
          dot += q[t][h * head_dim_ + i] * k[p][kv * head_dim_ + i];
        score.push_back(dot * scale);
      }
      const double top = *std::max_element(score.begin(), score.end());
      double sum = 0;
      for (double& s : score) sum += s = std::exp(s - top);
      for (size_t p = first; p <= t; ++p)
        for (size_t i = 0; i < head_dim_; ++i)
          mixed[h * head_dim_ + i] += score[p - first] / sum * v[p][kv * head_dim_ + i];
    }
    out.push_back(wo.Times(mixed.data()));
    const Vec& bias = Vector(Name(layer, "attn_output.bias"));
    for (size_t i = 0; i < bias.size(); ++i) out[t][i] += bias[i];
  }
  return out;
}

std::vector<Vec> Naive::ShortConv(size_t layer, const std::vector<Vec>& normed) {
  const Matrix& in = Load(Name(layer, "shortconv.in_proj.weight"));
  const Matrix& out_proj = Load(Name(layer, "shortconv.out_proj.weight"));
  const Vec& kernel = Vector(Name(layer, "shortconv.conv.weight"));
  const size_t taps = kernel.size() / embd_;
  std::vector<Vec> bx, out;
  for (size_t t = 0; t < normed.size(); ++t) {
    const Vec bcx = in.Times(normed[t].data());
    Vec product(embd_);
    for (size_t i = 0; i < embd_; ++i) product[i] = bcx[i] * bcx[2 * embd_ + i];
    bx.push_back(product);
    Vec y(embd_);
    for (size_t i = 0; i < embd_; ++i) {
      for (size_t j = 0; j < taps; ++j)
        if (t + j + 1 >= taps) y[i] += kernel[i * taps + j] * bx[t + j + 1 - taps][i];
      y[i] *= bcx[embd_ + i];
    }
    out.push_back(out_proj.Times(y.data()));
  }
  return out;
}

Vec Naive::Dense(const Matrix& gate, const Matrix& up, const Matrix& down, const Vec& x) const {
  Vec g = gate.Times(x.data());
  const Vec u = up.Times(x.data());
  for (size_t i = 0; i < g.size(); ++i)
    g[i] = (arch_ == "gemma3" ? GeluTanh(g[i]) : Silu(g[i])) * u[i];
  return down.Times(g.data());
}

Vec Naive::Moe(size_t layer, const Vec& x, double* margin) {
  Vec p = Load(Name(layer, "ffn_gate_inp.weight")).Times(x.data());
  const size_t experts = p.size();
  if (Int("expert_gating_func", arch_ == "llama" ? 1 : 2) == 2) {
    for (double& value : p) value = 1.0 / (1.0 + std::exp(-value));
  } else {
    const double top = *std::max_element(p.begin(), p.end());
    double sum = 0;
    for (double& value : p) sum += value = std::exp(value - top);
    for (double& value : p) value /= sum;
  }
  const Vec& bias = Vector(Name(layer, "exp_probs_b.bias"));
  std::vector<std::pair<double, size_t>> order;
  for (size_t e = 0; e < experts; ++e)
    order.push_back({-(p[e] + (bias.empty() ? 0.0 : bias[e])), e});
  std::sort(order.begin(), order.end());
  const auto used = static_cast<size_t>(Int("expert_used_count", 0));
  if (used < experts) *margin = std::min(*margin, order[used].first - order[used - 1].first);
  double sum = 0;
  for (size_t i = 0; i < used; ++i) sum += p[order[i].second];
  const double scale = Float("expert_weights_scale", 1.0);
  Vec out(embd_);
  for (size_t i = 0; i < used; ++i) {
    const size_t e = order[i].second;
    const auto slice = [&](const char* name) {
      const Matrix& all = Load(Name(layer, name));
      Matrix one;
      one.rows = all.rows / experts;
      one.k = all.k;
      const auto begin = all.values.begin() + static_cast<std::ptrdiff_t>(e * one.rows * one.k);
      one.values.assign(begin, begin + static_cast<std::ptrdiff_t>(one.rows * one.k));
      return one;
    };
    const Vec y = Dense(slice("ffn_gate_exps.weight"), slice("ffn_up_exps.weight"),
                        slice("ffn_down_exps.weight"), x);
    for (size_t j = 0; j < embd_; ++j) out[j] += p[e] / sum * scale * y[j];
  }
  return out;
}

NaiveResult Naive::Run(const std::vector<int32_t>& tokens) {
  embd_ = static_cast<size_t>(Int("embedding_length", 0));
  heads_ = static_cast<size_t>(Int("attention.head_count", 1));
  head_dim_ =
      static_cast<size_t>(Int("attention.key_length", static_cast<int64_t>(embd_ / heads_)));
  rope_dims_ = static_cast<size_t>(Int("rope.dimension_count", static_cast<int64_t>(head_dim_)));
  eps_ = Float("attention.layer_norm_rms_epsilon", 0);
  const auto layers = static_cast<size_t>(Int("block_count", 0));
  const Matrix& embedding = Load("token_embd.weight");
  Load("rope_freqs.weight");
  NaiveResult result;
  result.vocab = static_cast<int64_t>(embedding.rows);
  result.router_margin.assign(tokens.size(), std::numeric_limits<double>::infinity());
  std::vector<Vec> x;
  for (int32_t token : tokens) {
    const auto row =
        embedding.values.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(token) * embd_);
    x.emplace_back(row, row + static_cast<std::ptrdiff_t>(embd_));
    if (arch_ == "gemma3")
      for (double& value : x.back()) value *= std::sqrt(static_cast<double>(embd_));
  }
  for (size_t layer = 0; layer < layers; ++layer) {
    std::vector<Vec> normed;
    for (const Vec& row : x)
      normed.push_back(RmsNorm(row.data(), embd_, Vector(Name(layer, "attn_norm.weight")), eps_));
    const bool conv = file_.FindTensor(Name(layer, "shortconv.conv.weight")) != nullptr;
    const std::vector<Vec> mixed = conv ? ShortConv(layer, normed) : Attention(layer, normed);
    const bool moe = file_.FindTensor(Name(layer, "ffn_gate_inp.weight")) != nullptr;
    const auto add = [&](size_t t, Vec y, const char* post_norm) {
      const Vec& weight = Vector(Name(layer, post_norm));
      if (!weight.empty()) y = RmsNorm(y.data(), embd_, weight, eps_);
      for (size_t i = 0; i < embd_; ++i) x[t][i] += y[i];
    };
    for (size_t t = 0; t < x.size(); ++t) {
      add(t, mixed[t], "post_attention_norm.weight");
      const Vec h = RmsNorm(x[t].data(), embd_, Vector(Name(layer, "ffn_norm.weight")), eps_);
      add(t,
          moe ? Moe(layer, h, &result.router_margin[t])
              : Dense(Load(Name(layer, "ffn_gate.weight")), Load(Name(layer, "ffn_up.weight")),
                      Load(Name(layer, "ffn_down.weight")), h),
          "post_ffw_norm.weight");
    }
  }
  const Vec& norm = Vector(file_.FindTensor("output_norm.weight") ? "output_norm.weight"
                                                                  : "token_embd_norm.weight");
  const Matrix& head =
      Load(file_.FindTensor("output.weight") ? "output.weight" : "token_embd.weight");
  const double cap = Float("final_logit_softcapping", 0.0);
  for (const Vec& row : x) {
    Vec logits = head.Times(RmsNorm(row.data(), embd_, norm, eps_).data());
    for (double& value : logits)
      if (cap != 0.0) value = cap * std::tanh(value / cap);
    result.logits.insert(result.logits.end(), logits.begin(), logits.end());
  }
  return result;
}

}  // namespace

Result<NaiveResult> NaiveForward(const GgufFile& file, const std::vector<int32_t>& tokens) {
  for (const GgufTensor& tensor : file.tensors())
    if (FindQuantFormat(tensor.type_id) == nullptr)
      return Status(ErrorCode::kUnsupported, "type not supported", tensor.name);
  return Naive(file).Run(tokens);
}

}  // namespace lull::testing
