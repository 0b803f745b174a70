#include "tests/support/naive_forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <string>

#include "base/f16.h"
#include "quant/quant_format.h"
#include "tests/support/naive_model.h"

namespace lull::testing {

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

// Scaled: as the file says; local layers rotate unscaled.
double Naive::Frequency(size_t pair, double base, bool scaled) const {
  const auto dims = static_cast<double>(rope_dims_);
  const auto i = static_cast<double>(pair);
  double frequency = std::pow(base, -2.0 * i / dims);
  if (!scaled) return frequency;
  const double factor = Float("rope.scaling.factor", 1.0);
  const std::string type = Text("rope.scaling.type");
  if (type == "yarn") {
    const auto original =
        static_cast<double>(Int("rope.scaling.original_context_length", Int("context_length", 0)));
    const auto pair_of = [&](double turns) {
      return dims * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(base));
    };
    const double low = std::max(0.0, std::floor(pair_of(Float("rope.scaling.yarn_beta_fast", 32))));
    const double high =
        std::min(dims - 1, std::ceil(pair_of(Float("rope.scaling.yarn_beta_slow", 1))));
    const double kept = 1 - std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);
    return frequency * kept + frequency / factor * (1 - kept);
  }
  const int64_t original = Int("rope.scaling.original_context_length", Int("context_length", 0));
  const char* name = "rope_freqs.weight";
  if (const auto it = cache_.find("rope_factors_long.weight");
      it != cache_.end() && !it->second.values.empty())
    name = Int("context_length", 0) > original ? "rope_factors_long.weight"
                                               : "rope_factors_short.weight";
  if (auto it = cache_.find(name); it != cache_.end() && !it->second.values.empty())
    frequency /= it->second.values[pair];
  return frequency / factor;
}

double Naive::Magnitude() const {
  double magnitude = Float("rope.scaling.attn_factor", 1.0);
  if (Text("rope.scaling.type") != "yarn") return magnitude;
  const double stretch = 0.1 * std::log(Float("rope.scaling.factor", 1.0));
  if (Is({"deepseek2"}) && Float("rope.scaling.yarn_log_multiplier", 0.0) != 0.0) return magnitude;
  magnitude *= 1 + stretch;
  const double all = Float("rope.scaling.yarn_log_multiplier", 0.0);
  return all == 0.0 ? magnitude : magnitude / (1 + all * stretch);
}

void Naive::Rope(double* head, int64_t position, double base, bool scaled) const {
  const bool neox = !Is({"llama", "smollm3", "granite", "granitemoe", "granitehybrid", "mistral3",
                         "deepseek2", "glm4", "cohere2"});
  const double magnitude = scaled ? Magnitude() : 1.0;
  const size_t half = rope_dims_ / 2;
  for (size_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * Frequency(i, base, scaled);
    double& a = head[neox ? i : 2 * i];
    double& b = head[neox ? i + half : 2 * i + 1];
    const double rotated = a * std::cos(angle) - b * std::sin(angle);
    b = (a * std::sin(angle) + b * std::cos(angle)) * magnitude;
    a = rotated * magnitude;
  }
}

double Naive::Temperature(size_t position) const {
  const double scale = Float("attention.temperature_scale", 0.0);
  const int64_t original = Int("rope.scaling.original_context_length", Int("context_length", 1));
  return 1 + scale * std::log(1.0 + static_cast<double>(static_cast<int64_t>(position) / original));
}

// Of each head, or of all together.
void Naive::NormHeads(Vec& x, const Vec& norm) const {
  if (norm.empty()) return;
  for (size_t begin = 0; begin < x.size(); begin += norm.size()) {
    const Vec normed = RmsNorm(&x[begin], norm.size(), norm, eps_);
    std::copy(normed.begin(), normed.end(), x.begin() + static_cast<std::ptrdiff_t>(begin));
  }
}

bool Naive::Local(size_t layer) const {
  if (Int("attention.sliding_window", 0) == 0) return false;
  if (!Is({"gemma2", "gemma3", "gemma4", "olmo2", "gpt-oss", "cohere2"})) return false;
  const auto pattern = file_.GetIntArray(arch_ + ".attention.sliding_window_pattern");
  if (pattern.ok()) return pattern.value()[layer] != 0;
  const int64_t usual = Is({"gemma3"}) ? 6 : Is({"olmo2", "cohere2"}) ? 4 : 2;
  const auto period = static_cast<size_t>(Int("attention.sliding_window_pattern", usual));
  return layer % period != period - 1;
}

int64_t Naive::Window(size_t layer) const {
  const int64_t window = Int("attention.sliding_window", 0);
  if (Is({"gemma2", "gemma3", "gemma4", "olmo2", "gpt-oss", "cohere2"}))
    return Local(layer) ? window : 0;
  return Is({"phi3"}) ? 0 : window;
}

// Of each head's two halves the first stays in q; returns the second ones.
Vec Naive::TakeGates(Vec* q) const {
  Vec gate, kept;
  for (size_t at = 0; at < q->size(); at += head_dim_) {
    Vec& half = at / head_dim_ % 2 == 0 ? kept : gate;
    half.insert(half.end(), q->begin() + static_cast<std::ptrdiff_t>(at),
                q->begin() + static_cast<std::ptrdiff_t>(at + head_dim_));
  }
  *q = kept;
  return gate;
}

std::vector<Vec> Naive::Attention(size_t layer, const std::vector<Vec>& normed) {
  Matrix wq = Load(Name(layer, "attn_q.weight")), wk = Load(Name(layer, "attn_k.weight"));
  Matrix wv = Load(Name(layer, "attn_v.weight"));
  if (const Matrix& all = Load(Name(layer, "attn_qkv.weight")); all.rows != 0) {
    const size_t q_rows = heads_ * head_dim_, kv_rows = (all.rows - q_rows) / 2;
    wq = Rows(all, 0, q_rows);
    wk = Rows(all, q_rows, kv_rows);
    wv = Rows(all, q_rows + kv_rows, kv_rows);
  }
  const Matrix& wo = Load(Name(layer, "attn_output.weight"));
  const Vec& q_norm = Vector(Name(layer, "attn_q_norm.weight"));
  const Vec& k_norm = Vector(Name(layer, "attn_k_norm.weight"));
  const bool narrow = Local(layer) && Is({"gemma4"});
  head_dim_ = static_cast<size_t>(
      narrow ? Int("attention.key_length_swa", 0)
             : Int("attention.key_length", static_cast<int64_t>(embd_ / heads_)));
  rope_dims_ = static_cast<size_t>(Int(narrow ? "rope.dimension_count_swa" : "rope.dimension_count",
                                       static_cast<int64_t>(head_dim_)));
  const bool scaled = !(Local(layer) && Is({"gemma3", "gemma4", "olmo2"}));
  const double base = Local(layer) && Is({"gemma3", "gemma4"})
                          ? Float("rope.freq_base_swa", 10000.0)
                          : Float("rope.freq_base", 10000.0);
  const auto rotates = file_.GetBool(arch_ + ".rope.scaling.finetuned");
  const bool turns = !(Is({"smollm3"}) && layer % 4 == 3) && !(Is({"cohere2"}) && !Local(layer)) &&
                     (!rotates.ok() || rotates.value());
  double scale = 1.0 / std::sqrt(static_cast<double>(head_dim_));
  if (arch_ == "gemma3" && Int("block_count", 0) == 62)
    scale = 1.0 / std::sqrt(static_cast<double>(embd_ / heads_));
  scale = Is({"gemma4"}) ? 1.0 : Float("attention.scale", scale);
  const int64_t window = Window(layer);
  std::vector<Vec> q, k, v, out;
  const auto first_shared =
      static_cast<size_t>(Int("block_count", 0) - Int("attention.shared_kv_layers", 0));
  const bool shared = layer >= first_shared;
  const size_t source = first_shared - (Local(layer) ? 2 : 1);
  const size_t kv_heads = shared ? keys_[source][0].size() / head_dim_ : wk.rows / head_dim_;
  const double cap = Float("attn_logit_softcapping", 0.0);
  const Vec& sinks = Vector(Name(layer, "attn_sinks.weight"));
  const auto prepare = [&](Vec& x, const char* bias, const Vec& norm, size_t position) {
    AddTo(x, Vector(Name(layer, bias)));
    NormHeads(x, norm);
    for (size_t at = 0; turns && at < x.size(); at += head_dim_)
      Rope(&x[at], static_cast<int64_t>(position), base, scaled);
  };
  for (size_t t = 0; t < normed.size(); ++t) {
    q.push_back(wq.Times(normed[t].data()));
    Vec gate;
    if (Is({"qwen35", "qwen35moe"})) gate = TakeGates(&q[t]);
    if (shared) {
      k = keys_[source];
      v = values_[source];
    } else {
      k.push_back(wk.Times(normed[t].data()));
      v.push_back(wv.rows == 0 ? k.back() : wv.Times(normed[t].data()));
    }
    prepare(q[t], "attn_q.bias", q_norm, t);
    if (!shared) {
      prepare(k[t], "attn_k.bias", k_norm, t);
      AddTo(v[t], Vector(Name(layer, "attn_v.bias")));
      if (Is({"gemma4"})) NormHeads(v[t], Vec(head_dim_, 1.0));
    }
    for (double& value : q[t]) value *= Temperature(t);
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
        score.push_back(cap == 0.0 ? dot * scale : cap * std::tanh(dot * scale / cap));
      }
      double top = *std::max_element(score.begin(), score.end());
      if (!sinks.empty()) top = std::max(top, sinks[h]);
      double sum = sinks.empty() ? 0.0 : std::exp(sinks[h] - top);
      for (double& s : score) sum += s = std::exp(s - top);
      for (size_t p = first; p <= t; ++p)
        for (size_t i = 0; i < head_dim_; ++i)
          mixed[h * head_dim_ + i] += score[p - first] / sum * v[p][kv * head_dim_ + i];
    }
    for (size_t i = 0; i < gate.size(); ++i) mixed[i] *= Sigmoid(gate[i]);
    out.push_back(wo.Times(mixed.data()));
    AddTo(out[t], Vector(Name(layer, "attn_output.bias")));
  }
  keys_[layer] = k;
  values_[layer] = v;
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

Vec Naive::Dense(const Matrix& gate, const Matrix& up, const Matrix& down, const Vec& x,
                 const Vec& gate_bias, const Vec& up_bias) const {
  Vec g = gate.Times(x.data());
  Vec u = up.Times(x.data());
  AddTo(g, gate_bias);
  AddTo(u, up_bias);
  for (size_t i = 0; i < g.size(); ++i) {
    if (Is({"gpt-oss"})) {
      const double clamped = std::min(g[i], 7.0);
      g[i] = clamped * Sigmoid(1.702 * clamped) * (std::clamp(u[i], -7.0, 7.0) + 1);
    } else {
      g[i] = (Is({"gemma2", "gemma3", "gemma4"}) ? GeluTanh(g[i]) : Silu(g[i])) * u[i];
    }
  }
  return down.Times(g.data());
}

Vec Naive::Feed(size_t layer, const Vec& x) {
  const Matrix& up = Load(Name(layer, "ffn_up.weight"));
  const Matrix& down = Load(Name(layer, "ffn_down.weight"));
  const Matrix& gate = Load(Name(layer, "ffn_gate.weight"));
  if (gate.rows != 0) return Dense(gate, up, down, x);
  return Dense(Rows(up, 0, down.k), Rows(up, down.k, down.k), down, x);
}

// A dense network and experts beside each other (Gemma 4): x is the residual.
Vec Naive::DenseBesideMoe(size_t layer, const Vec& x, double* margin) {
  Vec out = Feed(layer, Norm(x, Name(layer, "ffn_norm.weight")));
  out = Norm(out, Name(layer, "post_ffw_norm_1.weight"));
  Vec seen = Norm(x, Name(layer, "ffn_gate_inp.scale"));
  for (double& value : seen) value /= std::sqrt(static_cast<double>(embd_));
  const Vec scores = Load(Name(layer, "ffn_gate_inp.weight")).Times(seen.data());
  AddTo(out, Norm(Moe(layer, Norm(x, Name(layer, "pre_ffw_norm_2.weight")), margin, &scores),
                  Name(layer, "post_ffw_norm_2.weight")));
  return out;
}

// What each layer gets of a token whose scaled embedding is x.
std::vector<Vec> Naive::PerLayer(int32_t token, const Vec& x) {
  const Matrix& table = Load("per_layer_token_embd.weight");
  const Vec& norm = Vector("per_layer_proj_norm.weight");
  Vec projected = Load("per_layer_model_proj.weight").Times(x.data());
  for (double& value : projected) value /= std::sqrt(static_cast<double>(embd_));
  NormHeads(projected, norm);
  std::vector<Vec> out;
  for (size_t at = 0; at < table.k; at += norm.size()) {
    Vec part;
    for (size_t i = 0; i < norm.size(); ++i)
      part.push_back(
          (projected[at + i] + table.values[static_cast<size_t>(token) * table.k + at + i] *
                                   std::sqrt(static_cast<double>(norm.size()))) /
          std::sqrt(2.0));
    out.push_back(part);
  }
  return out;
}

double Naive::SharedShare(size_t layer, const Vec& x) {
  const Matrix& router = Load(Name(layer, "ffn_gate_inp_shexp.weight"));
  return router.rows == 0 ? 1.0 : Sigmoid(router.Times(x.data())[0]);
}

Vec Naive::Moe(size_t layer, const Vec& x, double* margin, const Vec* scores) {
  Vec p = scores != nullptr ? *scores : Load(Name(layer, "ffn_gate_inp.weight")).Times(x.data());
  const Vec& expert_scale = Vector(Name(layer, "ffn_down_exps.scale"));
  const size_t experts = p.size();
  AddTo(p, Vector(Name(layer, "ffn_gate_inp.bias")));
  if (Int("expert_gating_func", 1) == 2) {
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
  const auto norm = file_.GetBool(arch_ + ".expert_weights_norm");
  if (norm.ok() ? !norm.value() : Is({"deepseek2"})) sum = 1;
  const double scale = Float("expert_weights_scale", 1.0);
  Vec out(embd_);
  for (size_t i = 0; i < used; ++i) {
    const size_t e = order[i].second;
    const auto slice = [&](const char* name) {
      const Matrix& all = Load(Name(layer, name));
      return all.rows == 0 ? all : Rows(all, e * (all.rows / experts), all.rows / experts);
    };
    Vec y = Dense(slice("ffn_gate_exps.weight"), slice("ffn_up_exps.weight"),
                  slice("ffn_down_exps.weight"), x, slice("ffn_gate_exps.bias").values,
                  slice("ffn_up_exps.bias").values);
    AddTo(y, slice("ffn_down_exps.bias").values);
    for (double& value : y) value *= expert_scale.empty() ? 1.0 : expert_scale[e];
    for (size_t j = 0; j < embd_; ++j) out[j] += p[e] / sum * scale * y[j];
  }
  if (const Matrix& gate = Load(Name(layer, "ffn_gate_shexp.weight")); gate.rows != 0)
    AddTo(out,
          Dense(gate, Load(Name(layer, "ffn_up_shexp.weight")),
                Load(Name(layer, "ffn_down_shexp.weight")), x),
          SharedShare(layer, x));
  return out;
}

NaiveResult Naive::Run(const std::vector<int32_t>& tokens) {
  embd_ = static_cast<size_t>(Int("embedding_length", 0));
  heads_ = std::max<size_t>(1, static_cast<size_t>(Int("attention.head_count", 1)));
  head_dim_ =
      static_cast<size_t>(Int("attention.key_length", static_cast<int64_t>(embd_ / heads_)));
  rope_dims_ = static_cast<size_t>(Int("rope.dimension_count", static_cast<int64_t>(head_dim_)));
  eps_ = Float("attention.layer_norm_rms_epsilon", Float("attention.layer_norm_epsilon", 0));
  const auto layers = static_cast<size_t>(Int("block_count", 0));
  const Matrix& embedding = Load("token_embd.weight");
  for (const char* name :
       {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"})
    Load(name);
  NaiveResult result;
  result.vocab = static_cast<int64_t>(embedding.rows);
  result.router_margin.assign(tokens.size(), std::numeric_limits<double>::infinity());
  std::vector<Vec> x;
  for (int32_t token : tokens) {
    const auto row =
        embedding.values.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(token) * embd_);
    x.emplace_back(row, row + static_cast<std::ptrdiff_t>(embd_));
    const bool gemma = Is({"gemma2", "gemma3", "gemma4"});
    for (double& value : x.back())
      value *= gemma ? std::sqrt(static_cast<double>(embd_)) : Float("embedding_scale", 1.0);
  }
  const double branch_scale = Float("residual_scale", 1.0);
  std::vector<std::vector<Vec>> per_layer;  // [token][layer]
  if (Load("per_layer_token_embd.weight").rows > 0)
    for (size_t t = 0; t < x.size(); ++t) per_layer.push_back(PerLayer(tokens[t], x[t]));
  for (size_t layer = 0; layer < layers; ++layer) {
    std::vector<Vec> normed;
    for (const Vec& row : x) normed.push_back(Norm(row, Name(layer, "attn_norm.weight")));
    const std::vector<Vec> mixed = Mix(layer, normed);
    const bool moe = file_.FindTensor(Name(layer, "ffn_gate_inp.weight")) != nullptr;
    // Of one name with what others have behind attention, but before the experts.
    const bool before = Is({"gpt-oss", "qwen35", "qwen35moe"});
    const auto add = [&](size_t t, Vec y, const char* post_norm) {
      if (!before) y = Norm(y, Name(layer, post_norm));
      for (size_t i = 0; i < embd_; ++i) x[t][i] += branch_scale * y[i];
    };
    for (size_t t = 0; t < x.size(); ++t) {
      add(t, mixed[t], "post_attention_norm.weight");
      if (!Has(layer, "ffn_down.weight") && !moe) continue;
      const Vec h =
          Is({"cohere2"})
              ? normed[t]
              : Norm(x[t], Name(layer, before ? "post_attention_norm.weight" : "ffn_norm.weight"));
      const bool beside = Has(layer, "post_ffw_norm_1.weight");
      double* margin = &result.router_margin[t];
      add(t,
          beside ? DenseBesideMoe(layer, x[t], margin)
          : moe  ? Moe(layer, h, margin)
                 : Feed(layer, h),
          "post_ffw_norm.weight");
      if (!per_layer.empty()) {
        Vec gate = Load(Name(layer, "inp_gate.weight")).Times(x[t].data());
        for (size_t i = 0; i < gate.size(); ++i)
          gate[i] = GeluTanh(gate[i]) * per_layer[t][layer][i];
        add(t, Load(Name(layer, "proj.weight")).Times(gate.data()), "post_norm.weight");
      }
      const Vec& out_scale = Vector(Name(layer, "layer_output_scale.weight"));
      for (double& value : x[t]) value *= out_scale.empty() ? 1.0 : out_scale[0];
    }
  }
  const Vec& norm = Vector(file_.FindTensor("output_norm.weight") ? "output_norm.weight"
                                                                  : "token_embd_norm.weight");
  const Matrix& head =
      Load(file_.FindTensor("output.weight") ? "output.weight" : "token_embd.weight");
  const double cap = Float("final_logit_softcapping", 0.0), scale = Float("logit_scale", 1.0);
  for (const Vec& row : x) {
    Vec logits = head.Times(ResidualNorm(row, norm).data());
    for (double& value : logits) {
      value *= Is({"cohere2"}) ? scale : 1 / scale;
      if (cap != 0.0) value = cap * std::tanh(value / cap);
    }
    result.logits.insert(result.logits.end(), logits.begin(), logits.end());
  }
  return result;
}

Result<NaiveResult> NaiveForward(const GgufFile& file, const std::vector<int32_t>& tokens) {
  for (const GgufTensor& tensor : file.tensors())
    if (FindQuantFormat(tensor.type_id) == nullptr)
      return Status(ErrorCode::kUnsupported, "type not supported", tensor.name);
  return Naive(file).Run(tokens);
}

}  // namespace lull::testing
