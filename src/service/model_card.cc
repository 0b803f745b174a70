#include "service/model_card.h"

#include <algorithm>

#include "chat/chat_template.h"
#include "formats/file_type.h"
#include "formats/gguf.h"
#include "service/chat_prompt.h"

namespace lull {
namespace {

std::string TextOr(const GgufFile& file, const std::string& key, const std::string& fallback) {
  const Result<std::string_view> text = file.GetString(key);
  return text.ok() ? std::string(*text) : fallback;
}

int64_t IntOr(const GgufFile& file, const std::string& key, int64_t fallback) {
  const Result<int64_t> value = file.GetInt(key);
  return value.ok() ? *value : fallback;
}

int64_t Parameters(const GgufFile& file) {
  uint64_t parameters = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    uint64_t elements = 1;
    for (const uint64_t dim : tensor.dims) elements *= dim;  // checked against the file's size
    parameters += elements;
  }
  return static_cast<int64_t>(parameters);
}

Json ArrayValue(const GgufFile& file, const std::string& key, const ExecContext& ctx) {
  if (const auto texts = file.GetStringArray(key, ctx); texts.ok()) {
    Json array = Json::array();
    for (const std::string_view text : *texts) array.push_back(std::string(text));
    return array;
  }
  if (const auto numbers = file.GetIntArray(key, ctx); numbers.ok()) return *numbers;
  if (const auto numbers = file.GetFloatArray(key, ctx); numbers.ok()) return *numbers;
  return nullptr;
}

Json ValueOf(const GgufFile& file, const std::string& key, bool arrays, const ExecContext& ctx) {
  switch (file.TypeOf(key).value_or(GgufValueType::kArray)) {
    case GgufValueType::kArray:
      return arrays ? ArrayValue(file, key, ctx) : Json(nullptr);
    case GgufValueType::kString:
      return TextOr(file, key, "");
    case GgufValueType::kBool: {
      const Result<bool> value = file.GetBool(key);
      return value.ok() && *value;
    }
    case GgufValueType::kFloat32:
    case GgufValueType::kFloat64: {
      const Result<double> value = file.GetFloat(key);
      return value.ok() ? Json(*value) : Json(nullptr);
    }
    default: {
      const Result<uint64_t> value = file.GetUint(key);
      return value.ok() ? Json(*value) : Json(IntOr(file, key, 0));
    }
  }
}

bool RendersTools(const std::string& source, const ExecContext& ctx) {
  const auto parsed = ChatTemplate::Parse(source, {}, ctx);
  return parsed.ok() && TemplateTakesTools(
                            [&](const std::string& messages, const std::string& extra) {
                              TemplateInput input;
                              input.messages_json = messages;
                              input.extra_json = extra;
                              return (*parsed)->Render(input, ctx);
                            },
                            nullptr);
}

}  // namespace

Result<ModelCard> ReadModelCard(const std::string& path, bool arrays, const ExecContext& ctx) {
  constexpr char kTemplate[] = "tokenizer.chat_template";
  LULL_ASSIGN_OR_RETURN(const auto file, GgufFile::Open(path, ctx));
  ModelCard card;
  card.architecture = TextOr(*file, "general.architecture", "");
  card.file_type = FileTypeOf(*file);
  card.chat_template = TextOr(*file, kTemplate, "");
  card.license = TextOr(*file, "general.license", "");
  card.parameters = Parameters(*file);
  card.context_tokens = IntOr(*file, card.architecture + ".context_length", 0);
  card.takes_tools = RendersTools(card.chat_template, ctx);
  card.metadata = Json::object();
  for (const std::string& key : file->Keys()) {
    if (key == kTemplate) continue;
    card.metadata[key] = ValueOf(*file, key, arrays, ctx);
    ctx.Checkpoint();
  }
  if (!card.metadata.contains("general.parameter_count"))
    card.metadata["general.parameter_count"] = card.parameters;
  return card;
}

Result<ModelCard> ModelCards::Get(const AvailableModel& model, const ExecContext& ctx) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto it = cards_.find(model.path);
    const bool same = it != cards_.end() && it->second.bytes == model.bytes &&
                      it->second.modified_unix_s == model.modified_unix_s;
    if (same) return it->second.card;
  }
  LULL_ASSIGN_OR_RETURN(ModelCard card, ReadModelCard(model.path, false, ctx));
  std::lock_guard<std::mutex> lock(mutex_);
  cards_[model.path] = {model.bytes, model.modified_unix_s, card};
  return card;
}

}  // namespace lull
