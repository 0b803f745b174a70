#include "engine/examine.h"

#include <algorithm>
#include <utility>

#include "engine/model_rep.h"
#include "formats/file_kind.h"
#include "kernels/instruction_sets.h"
#include "quant/quant_format.h"
#include "tokenizer/tokenizer.h"

namespace lull {
namespace {

std::string StringOr(const GgufFile& file, const char* key) {
  const Result<std::string_view> value = file.GetString(key);
  return value.ok() ? std::string(*value) : std::string();
}

std::string ProductName(Isa isa, uint32_t type_id) {
  const QuantFormat* format = FindQuantFormat(type_id);
  return format == nullptr ? "" : ProductPathName(ProductPathOf(isa, *format));
}

std::vector<TensorTypeUse> TypesOf(const GgufFile& file, Isa isa) {
  std::vector<TensorTypeUse> types;
  for (const GgufTensor& tensor : file.tensors()) {
    const std::string name = GgufTypeName(tensor.type_id);
    auto use = std::find_if(types.begin(), types.end(),
                            [&name](const TensorTypeUse& other) { return other.type == name; });
    if (use == types.end())
      use = types.insert(types.end(), {name, 0, 0, ProductName(isa, tensor.type_id)});
    ++use->tensors;
    use->bytes += static_cast<int64_t>(tensor.data.size());
  }
  std::stable_sort(types.begin(), types.end(), [](const TensorTypeUse& a, const TensorTypeUse& b) {
    return a.bytes > b.bytes;
  });
  return types;
}

void ExamineText(const GgufFile& file, Examination* result) {
  const ExecContext ctx;
  result->tokenizer_model = StringOr(file, "tokenizer.ggml.model");
  result->pretokenizer = StringOr(file, "tokenizer.ggml.pre");
  result->tokenizer = Tokenizer::Create(file, ctx).status();
  Model::Rep rep;
  LoadTemplate(file, ctx, &rep);
  result->has_chat_template = rep.has_chat_template;
  result->chat_template = rep.chat_status;
}

void ExamineWeights(const GgufFile& file, Examination* result) {
  Result<ModelPlan> plan = PlanModel(ExecContext(), file);
  result->weights = plan.status();
  if (plan.ok()) result->plan = std::move(*plan);
}

}  // namespace

Examination Examine(const GgufFile& file, const Kernels& kernels) {
  Examination result;
  const FileKind kind = KindOf(file);
  result.kind = FileKindName(kind);
  result.types = TypesOf(file, kernels.isa);
  if (kind == FileKind::kModel || kind == FileKind::kVocabulary) ExamineText(file, &result);
  if (kind == FileKind::kModel) ExamineWeights(file, &result);
  // In the order in which Model::Load comes upon them.
  for (const Status& status : {CheckIsModel(file), result.tokenizer, result.weights}) {
    if (status.ok()) continue;
    result.verdict = file.Locate(status.error());
    break;
  }
  return result;
}

}  // namespace lull
