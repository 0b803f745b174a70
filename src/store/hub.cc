#include "store/hub.h"

#include <algorithm>
#include <map>

#include "base/json_text.h"

namespace lull {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxRevisionBytes = 4 << 20, kMaxPageBytes = 16 << 20;
constexpr size_t kMaxFiles = 100'000;
constexpr int kMaxPages = 500;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 50;

Status BadListing(const std::string& what) {
  return Status(ErrorCode::kInvalidInput, "a listing that makes no sense: " + what, "hub");
}

// As text for people: not too long, nothing that a terminal would obey.
std::string Shown(const std::string& text) {
  std::string shown = text.substr(0, 80);
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = '?';
  return shown;
}

Result<HubFile> ParseFile(const Json& entry) {
  HubFile file;
  file.path = JsonText(entry, "path");
  if (!IsHubFilePath(file.path)) return BadListing("the path '" + Shown(file.path) + "'").error();
  const Json& lfs = JsonField(entry, "lfs");
  const Json& content = lfs.is_object() ? lfs : entry;
  const Json& size = JsonField(content, "size");
  if (!size.is_number_unsigned() || size.get<uint64_t>() > kMaxFileBytes)
    return BadListing("no size of " + file.path).error();
  file.bytes = size.get<uint64_t>();
  const std::string hash = JsonText(content, "oid");
  const std::optional<ContentKey> key =
      lfs.is_object() ? ContentKey::OfSha256(hash) : ContentKey::OfGitBlob(hash);
  if (!key.has_value()) return BadListing("no hash of " + file.path).error();
  file.key = *key;
  return file;
}

std::string LicenseOf(const Json& json) {
  constexpr std::string_view kTag = "license:";
  const std::string stated = JsonText(JsonField(json, "cardData"), "license");
  if (!stated.empty()) return Shown(stated);
  const Json& tags = JsonField(json, "tags");
  if (!tags.is_array()) return "";
  for (const Json& tag : tags)
    if (tag.is_string() && tag.get_ref<const std::string&>().starts_with(kTag))
      return Shown(tag.get_ref<const std::string&>().substr(kTag.size()));
  return "";
}

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
std::string Lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}
std::string Upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}
std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// "x-00002-of-00003.gguf": "x", 2 and 3; a whole file is number 1 of 1.
struct PartName {
  std::string stem;
  int number = 1, count = 1;
};
PartName SplitPartName(const std::string& path) {
  constexpr size_t kTail = sizeof("-00001-of-00003") - 1;
  PartName part{path.substr(0, path.size() - 5)};  // ".gguf"
  if (part.stem.size() <= kTail) return part;
  const std::string tail = part.stem.substr(part.stem.size() - kTail);
  int number = 0, count = 0, used = 0;
  if (sscanf(tail.c_str(), "-%5d-of-%5d%n", &number, &count, &used) != 2 ||
      used != static_cast<int>(kTail) || number < 1 || count < number)
    return part;
  return {part.stem.substr(0, part.stem.size() - kTail), number, count};
}

// "q4_k_m", "iq4_xs", "tq1_0", "bf16", "mxfp4": the file types people name.
bool IsQuantWord(std::string_view word) {
  if (word == "f16" || word == "f32" || word == "bf16" || word == "fp16" || word == "fp32")
    return true;
  if (word.starts_with("mxfp4")) return true;
  if (word.starts_with("i") || word.starts_with("t")) word.remove_prefix(1);
  return word.size() >= 2 && word[0] == 'q' && word[1] >= '1' && word[1] <= '8' &&
         (word.size() == 2 || word[2] == '_');
}

// A file, or the parts of one, that a model may be.
struct Candidate {
  std::string stem;
  std::string quant;  // "" where its name says none
  std::vector<const HubFile*> parts;
  int count = 1;
};

std::vector<Candidate> FindCandidates(const std::vector<HubFile>& files) {
  std::map<std::string, Candidate> by_stem;
  for (const HubFile& file : files) {
    const std::string base = Lower(BaseName(file.path));
    const bool beside = base.find("mmproj") != std::string::npos ||
                        base.find("imatrix") != std::string::npos;  // no model by itself
    if (!base.ends_with(".gguf") || beside) continue;
    const PartName part = SplitPartName(file.path);
    Candidate& candidate = by_stem[part.stem + "/" + std::to_string(part.count)];
    candidate.stem = part.stem;
    candidate.count = part.count;
    candidate.quant = QuantOfFileName(file.path);
    candidate.parts.push_back(&file);
  }
  std::vector<Candidate> candidates;
  for (auto& [stem, candidate] : by_stem) {
    std::sort(candidate.parts.begin(), candidate.parts.end(),
              [](const HubFile* a, const HubFile* b) { return a->path < b->path; });
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

// What a person most likely wants of several of one quant: the shortest name.
const Candidate* Shortest(const std::vector<const Candidate*>& candidates) {
  const auto shorter = [](const Candidate* a, const Candidate* b) {
    return a->stem.size() != b->stem.size() ? a->stem.size() < b->stem.size() : a->stem < b->stem;
  };
  const auto found = std::min_element(candidates.begin(), candidates.end(), shorter);
  return found == candidates.end() ? nullptr : *found;
}

const Candidate* OfQuant(const std::vector<Candidate>& candidates, const std::string& quant) {
  std::vector<const Candidate*> fit;
  for (const Candidate& candidate : candidates)
    if (candidate.quant == quant) fit.push_back(&candidate);
  return Shortest(fit);
}

const Candidate* ByDefault(const std::vector<Candidate>& candidates) {
  for (const char* quant :
       {"Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q4_0", "Q4_1", "MXFP4", "Q5_K_M", "Q5_K_S", "Q5_0",
        "Q6_K", "Q8_0", "IQ4_XS", "IQ4_NL", "Q3_K_M", "BF16", "F16", "FP16", "F32"})
    if (const Candidate* found = OfQuant(candidates, quant)) return found;
  std::vector<const Candidate*> all;
  for (const Candidate& candidate : candidates) all.push_back(&candidate);
  return Shortest(all);
}

const Candidate* OfFile(const std::vector<Candidate>& candidates, const std::string& path) {
  for (const Candidate& candidate : candidates)
    for (const HubFile* part : candidate.parts)
      if (part->path == path) return &candidate;
  return nullptr;
}

std::string WhatThereIs(const std::vector<Candidate>& candidates) {
  constexpr size_t kMost = 24;
  std::string list;
  for (size_t i = 0; i < candidates.size() && i < kMost; ++i) {
    const Candidate& candidate = candidates[i];
    list += (i == 0 ? "" : ", ") +
            (candidate.quant.empty() ? candidate.parts[0]->path : candidate.quant);
  }
  return list + (candidates.size() > kMost ? ", ..." : "");
}

Result<HubSelection> SelectGguf(const HubRef& ref, const std::vector<Candidate>& candidates) {
  const bool open = ref.quant.empty() && ref.file.empty();
  const Candidate* chosen = open               ? ByDefault(candidates)
                            : ref.file.empty() ? OfQuant(candidates, ref.quant)
                                               : OfFile(candidates, ref.file);
  if (chosen == nullptr && !ref.quant.empty()) chosen = OfQuant(candidates, "UD-" + ref.quant);
  if (chosen == nullptr)
    return Status(ErrorCode::kNotFound, "the repository has no such file", ref.Name(),
                  "it has " + WhatThereIs(candidates));
  if (static_cast<int>(chosen->parts.size()) != chosen->count)
    return Status(ErrorCode::kInvalidInput,
                  "the repository lists " + std::to_string(chosen->parts.size()) + " of " +
                      std::to_string(chosen->count) + " parts",
                  chosen->stem);
  HubSelection selection;
  selection.ref = ref;
  if (open) {
    selection.ref.quant = chosen->quant;
    if (chosen->quant.empty()) selection.ref.file = chosen->parts[0]->path;
    if (candidates.size() > 1)
      selection.note = "took " + (chosen->quant.empty() ? chosen->stem : chosen->quant) + " of " +
                       WhatThereIs(candidates);
  }
  for (const HubFile* part : chosen->parts) selection.files.push_back(*part);
  return selection;
}

// Of a folder in Hugging Face's layout: what loading a model reads. Nothing of subfolders.
bool BelongsToSafetensors(const std::string& path) {
  const std::string name = Lower(path);
  if (name.find('/') != std::string::npos || name.starts_with("consolidated")) return false;
  return name.ends_with(".safetensors") || name.ends_with(".json") || name.ends_with(".jinja") ||
         name == "vocab.txt" || name == "merges.txt" || name.ends_with(".model");
}

Result<HubSelection> SelectSafetensors(const HubRef& ref, const std::vector<HubFile>& files) {
  HubSelection selection;
  selection.kind = ModelKind::kSafetensors;
  selection.ref = ref;
  bool weights = false, config = false;
  for (const HubFile& file : files) {
    if (!BelongsToSafetensors(file.path)) continue;
    weights = weights || file.path.ends_with(".safetensors");
    config = config || file.path.ends_with("config.json");
    selection.files.push_back(file);
  }
  if (!weights || !config)
    return Status(ErrorCode::kNotFound, "the repository has neither GGUF files nor safetensors",
                  ref.Name(), "many models have a repository of GGUF files beside their own");
  if (!ref.quant.empty() || !ref.file.empty())
    return Status(ErrorCode::kNotFound, "the repository has no GGUF files, but safetensors",
                  ref.Name(),
                  "for these: lull pull " + HubRef{ref.repo, ref.revision, "", ""}.Name());
  selection.note = "a folder of safetensors: stored, and not loaded by this version";
  return selection;
}

std::string Escaped(const std::string& path) {
  std::string escaped;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (IsLowerAlnum(Lower(std::string(1, c))[0]) ||
        std::string_view("/-_.~").find(c) != std::string_view::npos) {
      escaped += c;
      continue;
    }
    escaped += '%';
    escaped += "0123456789ABCDEF"[byte >> 4];
    escaped += "0123456789ABCDEF"[byte & 15];
  }
  return escaped;
}

}  // namespace

Status ParseHubTree(const std::string& text, std::vector<HubFile>* files) {
  LULL_ASSIGN_OR_RETURN(const Json json, ParseJsonText(text, "hub"));
  if (!json.is_array()) return BadListing("no list");
  for (const Json& entry : json) {
    if (JsonText(entry, "type") != "file")
      continue;  // folders, and what is no file of the repository
    if (files->size() >= kMaxFiles) return BadListing("too many files");
    LULL_ASSIGN_OR_RETURN(HubFile file, ParseFile(entry));
    if (file.path.size() <= kMaxHubPathBytes) files->push_back(std::move(file));
  }
  return Status();
}

Result<HubRevision> ParseHubRevision(const std::string& text) {
  LULL_ASSIGN_OR_RETURN(const Json json, ParseJsonText(text, "hub"));
  HubRevision revision{JsonText(json, "sha"), LicenseOf(json)};
  if (!ContentKey::OfGitBlob(revision.commit).has_value())
    return Status(ErrorCode::kInvalidInput, "the hub names no commit", "hub",
                  "is HF_ENDPOINT a hub?");
  return revision;
}

std::string QuantOfFileName(const std::string& path) {
  if (path.size() <= 5) return "";
  const std::string stem = Lower(BaseName(SplitPartName(path).stem));
  // The last word that is a quant; words begin after anything but a letter or digit.
  for (size_t at = stem.size(); at-- > 0;) {
    if (at > 0 && IsLowerAlnum(stem[at - 1])) continue;
    size_t end = at;
    while (end < stem.size() && (IsLowerAlnum(stem[end]) || stem[end] == '_')) ++end;
    if (!IsQuantWord(std::string_view(stem).substr(at, end - at))) continue;
    const bool dynamic = at >= 3 && stem.compare(at - 3, 3, "ud-") == 0;
    return Upper(stem.substr(dynamic ? at - 3 : at, end - (dynamic ? at - 3 : at)));
  }
  return "";
}

Result<HubSelection> SelectHubFiles(const HubRef& ref, const std::vector<HubFile>& files) {
  const std::vector<Candidate> candidates = FindCandidates(files);
  return candidates.empty() ? SelectSafetensors(ref, files) : SelectGguf(ref, candidates);
}

Result<std::vector<HubFile>> Hub::List(const HubRef& ref, const std::string& commit,
                                       const FetchProgressFn& progress) {
  std::string url =
      options_.endpoint + "/api/models/" + ref.repo + "/tree/" + commit + "?recursive=true";
  std::vector<HubFile> files;
  for (int page = 0; page < kMaxPages; ++page) {
    HttpAnswer head;
    LULL_ASSIGN_OR_RETURN(
        const std::string text,
        FetchText(http_, url, TokenToSend(), kMaxPageBytes, options_.fetch, &head, progress));
    LULL_RETURN_IF_ERROR(ParseHubTree(text, &files));
    if (head.next_url.empty()) return files;
    url = head.next_url.starts_with('/') ? options_.endpoint + head.next_url : head.next_url;
    if (!SameOrigin(url, options_.endpoint))
      return BadListing("its next page lies on another host").error();
  }
  return BadListing("more than " + std::to_string(kMaxPages) + " pages").error();
}

Result<HubPlan> Hub::Plan(const HubRef& ref, const FetchProgressFn& progress) {
  const std::string revision = ref.revision.empty() ? "main" : ref.revision;
  const std::string url = options_.endpoint + "/api/models/" + ref.repo + "/revision/" + revision;
  LULL_ASSIGN_OR_RETURN(
      const std::string text,
      FetchText(http_, url, TokenToSend(), kMaxRevisionBytes, options_.fetch, nullptr, progress));
  LULL_ASSIGN_OR_RETURN(const HubRevision stated, ParseHubRevision(text));
  LULL_ASSIGN_OR_RETURN(const std::vector<HubFile> files, List(ref, stated.commit, progress));
  HubPlan plan;
  LULL_ASSIGN_OR_RETURN(plan.selection, SelectHubFiles(ref, files));
  plan.commit = stated.commit;
  plan.license = stated.license;
  return plan;
}

std::string Hub::FileUrl(const HubRef& ref, const std::string& commit,
                         const std::string& path) const {
  return options_.endpoint + "/" + ref.repo + "/resolve/" + commit + "/" + Escaped(path);
}

std::string Hub::TokenToSend() const {
  const std::string& endpoint = options_.endpoint;
  if (endpoint.starts_with("https://")) return options_.token;
  for (const std::string host : {"http://127.0.0.1", "http://localhost", "http://[::1]"}) {
    const char next = endpoint.starts_with(host) && endpoint.size() > host.size()
                          ? endpoint[host.size()]
                          : (endpoint == host ? '/' : '.');
    if (next == '/' || next == ':') return options_.token;
  }
  return "";
}

Result<std::string> CheckedEndpoint(std::string endpoint) {
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const bool web = endpoint.starts_with("https://") || endpoint.starts_with("http://");
  if (!web || !SameOrigin(endpoint, endpoint) || endpoint.find('@') != std::string::npos)
    return Status(ErrorCode::kUsage, "not an address of a hub", "HF_ENDPOINT",
                  "e.g. https://huggingface.co");
  return endpoint;
}

Status CheckToken(const std::string& token) {
  const bool sound = token.size() <= 4096 && std::all_of(token.begin(), token.end(),
                                                         [](char c) { return c > ' ' && c < 127; });
  if (sound) return Status();
  return Status(ErrorCode::kUsage, "the token has characters that no token has", "HF_TOKEN",
                "give the token alone, as one line");
}

}  // namespace lull
