#include "tests/support/tiny_adapter.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "tests/support/random_weights.h"

namespace lull {
namespace {

constexpr const char* kMatrices[] = {
    "attn_q",    "attn_k",   "attn_v",         "attn_qkv",          "attn_output",
    "attn_gate", "attn_q_a", "attn_q_b",       "attn_kv_a_mqa",     "ffn_gate",
    "ffn_up",    "ffn_down", "ffn_gate_shexp", "ffn_up_shexp",      "ffn_down_shexp",
    "ssm_in",    "ssm_out",  "ssm_x",          "shortconv.in_proj", "shortconv.out_proj",
};

bool Changes(const GgufTensor& tensor) {
  if (tensor.dims.size() != 2) return false;
  if (tensor.name == "output.weight") return true;
  for (const char* matrix : kMatrices)
    if (tensor.name.starts_with("blk.") &&
        tensor.name.ends_with("." + std::string(matrix) + ".weight"))
      return true;
  return false;
}

uint32_t TypeId(const std::string& type) { return type == "F16" ? 1 : type == "BF16" ? 30 : 0; }

std::vector<float> Floats(const GgufTensor& tensor) {
  std::vector<float> values(tensor.data.size() / sizeof(float));
  memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

void CopyKey(const GgufFile& file, const std::string& key, GgufWriter* writer) {
  if (const auto text = file.GetString(key); text.ok()) writer->AddString(key, *text);
}

}  // namespace

void BuildTinyAdapter(const GgufFile& base, const TinyAdapterSpec& spec, GgufWriter* writer) {
  writer->set_durable(false);
  CopyKey(base, "general.architecture", writer);
  writer->AddString("general.type", "adapter");
  writer->AddString("general.name", "tiny adapter " + std::to_string(spec.seed));
  writer->AddString("adapter.type", "lora");
  writer->AddFloat32("adapter.lora.alpha", spec.alpha);
  const uint32_t type = TypeId(spec.type);
  for (const GgufTensor& tensor : base.tensors()) {
    if (!Changes(tensor)) continue;
    const uint64_t k = tensor.dims[0], rows = tensor.dims[1], rank = spec.rank;
    const auto in = 1.0f / std::sqrt(static_cast<float>(k));
    const auto out = spec.zero_b ? 0.0f
                                 : spec.gain * 0.5f * static_cast<float>(rank) /
                                       (spec.alpha * std::sqrt(static_cast<float>(rank)));
    writer->AddTensor(tensor.name + ".lora_a", type, {k, rank},
                      RandomRows(type, k, in, HashText(tensor.name + "a", spec.seed)));
    writer->AddTensor(tensor.name + ".lora_b", type, {rank, rows},
                      RandomRows(type, rank, out, HashText(tensor.name + "b", spec.seed)));
  }
}

Status WriteTinyAdapter(const std::string& base_path, const TinyAdapterSpec& spec,
                        const std::string& path) {
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> base, GgufFile::Open(base_path));
  GgufWriter writer;
  BuildTinyAdapter(*base, spec, &writer);
  return writer.Write(path);
}

void BuildMergedModel(const GgufFile& base, const GgufFile& adapter, float scale,
                      GgufWriter* writer) {
  const double alpha = adapter.GetFloat("adapter.lora.alpha").value();
  for (const GgufTensor& tensor : base.tensors()) {
    const GgufTensor* a = adapter.FindTensor(tensor.name + ".lora_a");
    const GgufTensor* b = adapter.FindTensor(tensor.name + ".lora_b");
    if (a == nullptr || b == nullptr) continue;
    const size_t k = tensor.dims[0], rows = tensor.dims[1], rank = a->dims[1];
    const std::vector<float> w = Floats(tensor), fa = Floats(*a), fb = Floats(*b);
    std::vector<float> merged(w.size());
    for (size_t r = 0; r < rows; ++r)
      for (size_t i = 0; i < k; ++i) {
        double sum = 0.0;
        for (size_t j = 0; j < rank; ++j)
          sum += static_cast<double>(fb[r * rank + j]) * static_cast<double>(fa[j * k + i]);
        const double more = static_cast<double>(scale) * alpha / static_cast<double>(rank) * sum;
        merged[r * k + i] = static_cast<float>(static_cast<double>(w[r * k + i]) + more);
      }
    std::vector<uint8_t> bytes(merged.size() * sizeof(float));
    memcpy(bytes.data(), merged.data(), bytes.size());
    writer->RemoveTensor(tensor.name);
    writer->AddTensor(tensor.name, 0, {k, rows}, std::move(bytes));
  }
}

}  // namespace lull
