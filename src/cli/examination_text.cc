#include "cli/examination_text.h"

#include <cstdio>

namespace lull {
namespace {

std::string Line(const char* what, const std::string& text) {
  char padded[32];
  snprintf(padded, sizeof padded, "  %-14s ", what);
  return padded + text + "\n";
}

std::string Bytes(int64_t bytes) {
  char text[32];
  const auto n = static_cast<double>(bytes);
  if (bytes < (int64_t{1} << 20))
    snprintf(text, sizeof text, "%.1f KiB", n / (1 << 10));
  else
    snprintf(text, sizeof text, "%.1f MiB", n / (1 << 20));
  return text;
}

std::string Count(int64_t n, const char* what) { return std::to_string(n) + " " + what; }

std::string Reason(const Status& status) {
  const Error& error = status.error();
  std::string text = error.message;
  if (!error.where.empty()) text += " (" + error.where + ")";
  return text;
}

std::string VerdictText(const Examination& e) {
  if (e.verdict.ok()) return "Lull runs this file.\n";
  std::string text = "Lull does not run this file: " + Reason(e.verdict) + "\n";
  const std::string& hint = e.verdict.error().hint;
  if (!hint.empty()) text += Line("", hint);
  return text;
}

std::string TokenizerText(const Examination& e) {
  if (!e.tokenizer.ok()) return "refused: " + Reason(e.tokenizer);
  return e.tokenizer_model + (e.pretokenizer.empty() ? "" : ", pre-tokenizer " + e.pretokenizer);
}

std::string TemplateText(const Examination& e) {
  if (!e.has_chat_template) return "none: plain prompts only (--raw)";
  return e.chat_template.ok() ? "understood" : "not understood: " + Reason(e.chat_template);
}

std::string KindText(const LayerKind& kind) {
  std::string text = Count(kind.layers, MixerName(kind.mixer));
  if (!IsRecurrent(kind.mixer) && kind.window == 0) text += ", full";
  if (kind.window > 0) text += ", window of " + std::to_string(kind.window);
  if (kind.shared_kv) text += ", K and V of an earlier layer";
  if (kind.moe) text += ", experts";
  return text;
}

std::string KvText(const ModelPlan& plan) {
  const SequenceBytes bytes = plan.SequenceBytesOf(KvType::kF16);
  std::string text;
  if (bytes.per_token > 0) text = Bytes(bytes.per_token) + " a token, ";
  text += Bytes(bytes.full_context) + " a sequence of " + Count(plan.hparams.context, "tokens");
  if (bytes.state > 0) text += ", of it twice " + Bytes(bytes.state) + " of state";
  return text;
}

std::string PlanText(const ModelPlan& plan) {
  const ModelInfo& info = plan.info;
  const Hparams& h = plan.hparams;
  std::string text =
      Line("architecture", info.architecture + ", " + Count(info.num_layers, "layers") + " of " +
                               std::to_string(info.embedding_length) + ", vocabulary " +
                               std::to_string(info.vocab_size) + ", context " +
                               std::to_string(info.context_tokens));
  const char* label = "layers";
  for (const LayerKind& kind : plan.layer_kinds()) {
    text += Line(label, KindText(kind));
    label = "";
  }
  if (h.num_experts > 0)
    text +=
        Line("experts", std::to_string(h.experts_used) + " of " + std::to_string(h.num_experts) +
                            (h.shared_ffn_length > 0 ? " and a shared one" : ""));
  text += Line("weights",
               Count(info.parameters, "parameters, ") + Bytes(info.weight_bytes) + " in memory");
  text +=
      Line("a token", "reads " + Bytes(info.active_bytes_per_token) + " of them, " +
                          Count(info.macs_per_token / 1000, "thousand") + " multiply-accumulates");
  return text + Line("KV, f16", KvText(plan));
}

std::string TypesText(const Examination& e, const Kernels& kernels) {
  std::string text;
  char line[128];
  for (const TensorTypeUse& use : e.types) {
    const std::string how =
        use.product.empty() ? "not supported" : use.product + " products on " + kernels.name;
    snprintf(line, sizeof line, "  %-8s %10s in %5lld tensors, %s\n", use.type.c_str(),
             Bytes(use.bytes).c_str(), static_cast<long long>(use.tensors), how.c_str());
    text += line;
  }
  return text;
}

Json StatusJson(const Status& status) {
  if (status.ok()) return nullptr;
  const Error& error = status.error();
  return {{"code", ErrorCodeName(error.code)},
          {"message", error.message},
          {"where", error.where},
          {"hint", error.hint}};
}

Json PlanJson(const ModelPlan& plan) {
  Json layers = Json::array();
  for (const LayerKind& kind : plan.layer_kinds())
    layers.push_back({{"mixer", MixerName(kind.mixer)},
                      {"window", kind.window},
                      {"shared_kv", kind.shared_kv},
                      {"experts", kind.moe},
                      {"layers", kind.layers}});
  const SequenceBytes kv = plan.SequenceBytesOf(KvType::kF16);
  return {{"architecture", plan.info.architecture},
          {"vocabulary", plan.info.vocab_size},
          {"context_tokens", plan.info.context_tokens},
          {"layers", layers},
          {"experts", plan.hparams.num_experts},
          {"experts_used", plan.hparams.experts_used},
          {"parameters", plan.info.parameters},
          {"weight_bytes", plan.info.weight_bytes},
          {"active_bytes_per_token", plan.info.active_bytes_per_token},
          {"macs_per_token", plan.info.macs_per_token},
          {"kv_bytes_per_token", kv.per_token},
          {"kv_bytes_per_sequence", kv.full_context},
          {"state_bytes", kv.state}};
}

}  // namespace

std::string ExaminationText(const Examination& e, const Kernels& kernels) {
  const std::string reads =
      Line("tokenizer", TokenizerText(e)) + Line("chat template", TemplateText(e));
  if (e.kind == "vocabulary") return VerdictText(e) + reads;
  if (e.kind != "model") return VerdictText(e);
  std::string text = VerdictText(e);
  if (e.plan.has_value()) text += PlanText(*e.plan);
  if (!e.weights.ok()) text += Line("weights", "refused: " + Reason(e.weights));
  return text + reads + "\n" + TypesText(e, kernels);
}

Json ExaminationJson(const Examination& e, const Kernels& kernels) {
  Json types = Json::array();
  for (const TensorTypeUse& use : e.types)
    types.push_back({{"type", use.type},
                     {"tensors", use.tensors},
                     {"bytes", use.bytes},
                     {"products", use.product.empty() ? Json(nullptr) : Json(use.product)}});
  return {{"kind", e.kind},
          {"runs", e.verdict.ok()},
          {"error", StatusJson(e.verdict)},
          {"weights", StatusJson(e.weights)},
          {"tokenizer", StatusJson(e.tokenizer)},
          {"has_chat_template", e.has_chat_template},
          {"chat_template", StatusJson(e.chat_template)},
          {"instruction_set", kernels.name},
          {"types", types},
          {"plan", e.plan.has_value() ? PlanJson(*e.plan) : Json(nullptr)}};
}

}  // namespace lull
