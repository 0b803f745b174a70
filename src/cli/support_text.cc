#include "cli/support_text.h"

#include <cstdio>
#include <map>
#include <vector>

#include "convert/convert.h"
#include "engine/support.h"

namespace lull {
namespace {

using Texts = std::vector<std::string>;

std::string Join(const Texts& texts, const char* between = ", ") {
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : between) + text;
  return joined;
}

std::string Row(const Texts& cells) { return "| " + Join(cells, " | ") + " |\n"; }

std::string Head(const Texts& cells) { return Row(cells) + Row(Texts(cells.size(), "---")); }

// By architecture, the model_types that convert to it.
std::map<std::string, Texts> Convertible() {
  std::map<std::string, Texts> types;
  for (const ConvertibleType& type : ConvertibleTypes())
    types[type.architecture].push_back(type.model_type);
  return types;
}

// A cell is never empty: two bars side by side would make the row shorter.
std::string OrNone(const std::string& text) { return text.empty() ? "-" : text; }

std::string Short(double value) {
  char text[16];
  snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string Quoted(Texts names) {
  for (std::string& name : names) name = name.empty() ? "none" : "`" + name + "`";
  return Join(names);
}

std::string ArchitecturesMarkdown(const SupportTable& table) {
  std::map<std::string, Texts> convertible = Convertible();
  std::string text = Head({"architecture", "what mixes tokens", "what a sequence keeps",
                           "feed-forward", "from safetensors (`model_type`)"});
  for (const ArchitectureSupport& architecture : table.architectures)
    text += Row({architecture.name, Join(architecture.mixers), Join(architecture.kept),
                 OrNone(Join(architecture.feed_forward)),
                 OrNone(Join(convertible[architecture.name]))});
  return text;
}

std::string TypesMarkdown(const SupportTable& table) {
  Texts head = {"type", "bits a weight", "block", "activations"};
  head.insert(head.end(), table.instruction_sets.begin(), table.instruction_sets.end());
  head.push_back("GPU");
  std::string text = Head(head);
  for (const TypeSupport& type : table.types) {
    Texts cells = {type.name, Short(type.bits_per_weight), std::to_string(type.block),
                   type.activations};
    cells.insert(cells.end(), type.products.begin(), type.products.end());
    cells.push_back("none");
    text += Row(cells);
  }
  return text;
}

}  // namespace

std::string SupportMarkdown() {
  const SupportTable table = Support();
  return "### Architectures\n\n" + ArchitecturesMarkdown(table) +
         "\n### Weight types and instruction sets\n\n" + TypesMarkdown(table) +
         "\n### Tokenizers and KV\n\nTokenizers (`tokenizer.ggml.model`): " +
         Quoted(table.tokenizers) +
         ".\n\nPre-tokenizers (`tokenizer.ggml.pre`): " + Quoted(table.pretokenizers) +
         ".\n\nK and V (`--kv-type`): " + Quoted(table.kv_types) + ".\n";
}

Json SupportJson() {
  const SupportTable table = Support();
  std::map<std::string, Texts> convertible = Convertible();
  Json architectures = Json::array(), types = Json::array();
  for (const ArchitectureSupport& architecture : table.architectures)
    architectures.push_back({{"name", architecture.name},
                             {"mixers", architecture.mixers},
                             {"kept", architecture.kept},
                             {"feed_forward", architecture.feed_forward},
                             {"safetensors", convertible[architecture.name]}});
  for (const TypeSupport& type : table.types) {
    Json products = Json::object();
    for (size_t i = 0; i < type.products.size(); ++i)
      products[table.instruction_sets[i]] = type.products[i];
    types.push_back({{"name", type.name},
                     {"bits_per_weight", type.bits_per_weight},
                     {"block", type.block},
                     {"activations", type.activations},
                     {"products", products}});
  }
  return {{"architectures", architectures}, {"types", types},
          {"tokenizers", table.tokenizers}, {"pretokenizers", table.pretokenizers},
          {"kv_types", table.kv_types},     {"gpus", Json::array()}};
}

}  // namespace lull
