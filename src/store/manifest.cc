#include "store/manifest.h"

#include <algorithm>
#include <set>

#include "base/sha256.h"
#include "base/json_text.h"

namespace lull {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;
constexpr size_t kMaxEncodedBytes = 180;  // file systems take 255, and an ending follows
constexpr size_t kMaxFiles = 4096, kMaxTextBytes = 4 << 20, kMaxNameBytes = 700;

const char* KindName(ModelKind kind) { return kind == ModelKind::kGguf ? "gguf" : "safetensors"; }

bool IsOneLine(const std::string& text) {
  return text.size() <= kMaxNameBytes && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return c >= ' ' && c != 127;
         });
}

Error Bad(const std::string& where, const std::string& what) {
  return Status(ErrorCode::kInvalidInput, "damaged manifest: " + what, where,
                "remove the file and pull the model again; its bytes are still there")
      .error();
}

Result<ManifestFile> ParseFile(const Json& json, const std::string& where) {
  ManifestFile file;
  file.name = JsonText(json, "name");
  if (!IsPlainFileName(file.name)) return Bad(where, "the name of a file");
  const Json& bytes = JsonField(json, "bytes");
  if (!bytes.is_number_unsigned()) return Bad(where, "the size of " + file.name);
  file.bytes = bytes.get<uint64_t>();
  const std::optional<ContentKey> key = ContentKey::Parse(JsonText(json, "key"));
  if (!key.has_value()) return Bad(where, "the key of " + file.name);
  file.key = *key;
  return file;
}

Result<std::vector<ManifestFile>> ParseFiles(const Json& json, const std::string& where) {
  if (!json.is_array() || json.empty() || json.size() > kMaxFiles) return Bad(where, "files");
  std::vector<ManifestFile> files;
  std::set<std::string> names;
  for (const Json& entry : json) {
    LULL_ASSIGN_OR_RETURN(ManifestFile file, ParseFile(entry, where));
    if (!names.insert(file.name).second) return Bad(where, "two files named " + file.name);
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace

uint64_t Manifest::bytes() const {
  uint64_t sum = 0;
  for (const ManifestFile& file : files) sum += file.bytes;
  return sum;
}

bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name.size() <= 250 && name != "." && name != ".." && IsOneLine(name) &&
         name.find('/') == std::string::npos;
}

std::string ManifestText(const Manifest& manifest) {
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const ManifestFile& file : manifest.files)
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"key", file.key.text()}});
  const nlohmann::ordered_json json = {{"format", kFormat},
                                       {"name", manifest.name},
                                       {"kind", KindName(manifest.kind)},
                                       {"source", manifest.source},
                                       {"commit", manifest.commit},
                                       {"license", manifest.license},
                                       {"pulled_unix_s", manifest.pulled_unix_s},
                                       {"files", files}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<Manifest> ParseManifest(const std::string& text, const std::string& where) {
  if (text.size() > kMaxTextBytes) return Bad(where, "too long");
  const Result<Json> parsed = ParseJsonText(text, where);
  if (!parsed.ok()) return Bad(where, parsed.error().message);
  const Json& json = *parsed;
  if (JsonField(json, "format") != kFormat) return Bad(where, "not of format 1");
  Manifest manifest;
  const std::string kind = JsonText(json, "kind");
  if (kind != "gguf" && kind != "safetensors") return Bad(where, "kind");
  manifest.kind = kind == "gguf" ? ModelKind::kGguf : ModelKind::kSafetensors;
  manifest.name = JsonText(json, "name");
  manifest.source = JsonText(json, "source");
  manifest.commit = JsonText(json, "commit");
  manifest.license = JsonText(json, "license");
  for (const std::string* line :
       {&manifest.name, &manifest.source, &manifest.commit, &manifest.license})
    if (!IsOneLine(*line)) return Bad(where, "a line of text");
  if (manifest.name.empty()) return Bad(where, "no name");
  if (const Json& time = JsonField(json, "pulled_unix_s"); time.is_number_integer())
    manifest.pulled_unix_s = time.get<int64_t>();
  LULL_ASSIGN_OR_RETURN(manifest.files, ParseFiles(JsonField(json, "files"), where));
  return manifest;
}

std::string EncodedName(const std::string& name) {
  std::string encoded;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || (c == '.' && !encoded.empty());
    if (plain) {
      encoded += c;
      continue;
    }
    encoded += '%';
    encoded += "0123456789ABCDEF"[byte >> 4];
    encoded += "0123456789ABCDEF"[byte & 15];
  }
  if (encoded.size() <= kMaxEncodedBytes) return encoded;
  Sha256 sha;
  sha.Update(name.data(), name.size());
  return encoded.substr(0, kMaxEncodedBytes / 2) + "~" + sha.Hex().substr(0, 32);
}

std::string ContentId(const Manifest& manifest) {
  Sha256 sha;
  for (const ManifestFile& file : manifest.files) {
    const std::string line = file.name + '\n' + file.key.text() + '\n';
    sha.Update(line.data(), line.size());
  }
  return sha.Hex().substr(0, 32);
}

}  // namespace lull
