#include "formats/file_kind.h"

#include <string>

namespace lull {
namespace {

constexpr const char* kTypeKey = "general.type";

std::string TypeOf(const GgufFile& file) {
  const Result<std::string_view> type = file.GetString(kTypeKey);
  return type.ok() ? std::string(*type) : "model";
}

}  // namespace

FileKind KindOf(const GgufFile& file) {
  const std::string type = TypeOf(file);
  if (type == "adapter") return FileKind::kAdapter;
  if (type == "imatrix") return FileKind::kImportance;
  if (type != "model") return FileKind::kOther;
  return file.tensors().empty() ? FileKind::kVocabulary : FileKind::kModel;
}

const char* FileKindName(FileKind kind) {
  switch (kind) {
    case FileKind::kModel:
      return "model";
    case FileKind::kVocabulary:
      return "vocabulary";
    case FileKind::kAdapter:
      return "adapter";
    case FileKind::kImportance:
      return "importance matrix";
    case FileKind::kOther:
      return "other";
  }
  return "";
}

Status CheckIsModel(const GgufFile& file) {
  switch (KindOf(file)) {
    case FileKind::kModel:
      return Status::Ok();
    case FileKind::kVocabulary:
      return Status(ErrorCode::kInvalidModel, "the file has no tensors: it is a vocabulary alone",
                    {}, "`lull tokenize` and `lull template` take it");
    case FileKind::kAdapter:
      return Status(ErrorCode::kUnsupported, "the file is an adapter, not a model", kTypeKey,
                    "give it beside the model that it was made for: --lora FILE");
    case FileKind::kImportance:
      return Status(ErrorCode::kUnsupported, "the file is an importance matrix, not a model",
                    kTypeKey, "`lull quantize` takes it: --imatrix FILE");
    case FileKind::kOther:
      break;
  }
  return Status(ErrorCode::kUnsupported,
                "the file is a " + GgufQuote(TypeOf(file).substr(0, 64)) + ", not a model",
                kTypeKey, "give the file of the language model that it belongs to");
}

}  // namespace lull
