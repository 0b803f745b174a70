#include "store/model_ref.h"

#include <algorithm>
#include <string_view>

namespace lull {
namespace {

constexpr size_t kMaxPartChars = 96;  // of an organisation, a repository, a revision, a quant
constexpr size_t kMaxNameChars = 120;
constexpr char kSyntax[] = "hf:org/repo, hf:org/repo:Q4_K_M or hf:org/repo/file.gguf";

bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

// Letters, digits, . _ - without ".." and not beginning with a dot or a dash.
bool IsWord(std::string_view text) {
  return !text.empty() && text.size() <= kMaxPartChars && text[0] != '.' && text[0] != '-' &&
         text.find("..") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), IsWordChar);
}

// U+0080 to U+009F, which some terminals obey.
bool HasUnicodeControls(std::string_view text) {
  for (size_t i = 0; i + 1 < text.size(); ++i)
    if (text[i] == '\xc2' && static_cast<unsigned char>(text[i + 1]) < 0xA0) return true;
  return false;
}

std::string Upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

std::string_view WithoutHubPrefix(std::string_view text) {
  for (const std::string_view prefix :
       {"hf:", "https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/"})
    if (text.starts_with(prefix)) return text.substr(prefix.size());
  return {};
}

Status NoHubRef(const std::string& text) {
  return Status(ErrorCode::kUsage, "not a model of a hub", text.substr(0, 200),
                std::string("write ") + kSyntax);
}

Result<HubRef> Checked(const HubRef& ref, const std::string& text) {
  const size_t slash = ref.repo.find('/');
  if (slash == std::string::npos || !IsWord(ref.repo.substr(0, slash)) ||
      !IsWord(ref.repo.substr(slash + 1)))
    return NoHubRef(text);
  if (!ref.revision.empty() && !IsWord(ref.revision)) return NoHubRef(text);
  if (!ref.quant.empty() && !IsWord(ref.quant)) return NoHubRef(text);
  if (!ref.file.empty() && (!IsHubFilePath(ref.file) || ref.file.size() > kMaxHubPathBytes ||
                            !ref.file.ends_with(".gguf")))
    return NoHubRef(text);
  return ref;
}

std::string_view WithoutLatest(std::string_view text) {
  constexpr std::string_view kLatest = ":latest";
  return text.ends_with(kLatest) ? text.substr(0, text.size() - kLatest.size()) : text;
}

std::string CatalogNames() {
  std::string names;
  for (const CatalogEntry& known : Catalog()) names += (names.empty() ? "" : ", ") + known.name;
  return names;
}

std::string TagsOf(std::string_view model) {
  std::string tags;
  for (const KnownModel& known : KnownModels())
    if (known.model == model) tags += (tags.empty() ? "" : ", ") + std::string(known.tag);
  return tags;
}

// "7b-instruct-q4_K_M" of a model that has a tag "7b": the quant, or "" where the tag is "7b" or
// "7b-instruct"; nullopt where it says something else.
std::optional<std::string> QuantAfter(std::string_view tag, std::string_view known) {
  if (!tag.starts_with(known)) return std::nullopt;
  tag.remove_prefix(known.size());
  for (const std::string_view kind : {"-instruct", "-it", "-chat"})
    if (tag.starts_with(kind)) {
      tag.remove_prefix(kind.size());
      break;
    }
  if (tag.empty()) return "";
  const std::string quant = Upper(std::string(tag.substr(1)));
  const bool is_quant = quant.starts_with("Q") || quant.starts_with("IQ") ||
                        quant.starts_with("F") || quant.starts_with("BF") ||
                        quant.starts_with("MXFP") || quant.starts_with("TQ");
  if (tag[0] != '-' || !is_quant || !IsWord(quant)) return std::nullopt;
  return quant;
}

// The longest tag that fits goes first: "30b-a3b" before "30b".
std::optional<HubRef> FindKnown(std::string_view model, std::string_view tag) {
  std::optional<HubRef> found;
  size_t longest = 0;
  for (const KnownModel& known : KnownModels()) {
    if (known.model != model) continue;
    const std::string_view known_tag(known.tag);
    if (tag.empty()) return HubRef{known.repo, "", "", ""};
    const std::optional<std::string> quant = QuantAfter(tag, known_tag);
    if (!quant.has_value() || known_tag.size() <= longest) continue;
    longest = known_tag.size();
    found = HubRef{known.repo, "", *quant, ""};
  }
  return found;
}

Status UnknownName(const std::string& text) {
  const std::string shown = text.substr(0, 200);
  const size_t colon = text.find(':');
  const std::string tags = TagsOf(text.substr(0, colon));
  if (!tags.empty())
    return Status(ErrorCode::kNotFound, "no model of that tag", shown,
                  "there are " + text.substr(0, colon) + " with " + tags);
  if (std::count(text.begin(), text.end(), '/') == 1)
    return Status(ErrorCode::kNotFound, "no model of that name", shown,
                  "for a repository of the hub: lull pull hf:" + shown);
  return Status(ErrorCode::kNotFound, "no model of that name", shown,
                "type " + CatalogNames() + ", a name like llama3.2:1b, or " + kSyntax);
}

}  // namespace

bool IsHubFilePath(const std::string& text) {
  const std::string_view path(text);
  if (path.empty()) return false;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  const auto allowed = [](unsigned char c) { return c >= ' ' && c != 127 && c != '\\'; };
  return std::all_of(path.begin(), path.end(), allowed) && !HasUnicodeControls(path);
}

std::string HubRef::Name() const {
  return "hf:" + repo + (revision.empty() ? "" : "@" + revision) +
         (quant.empty() ? "" : ":" + quant) + (file.empty() ? "" : "/" + file);
}

bool LooksLikeHubRef(const std::string& text) { return !WithoutHubPrefix(text).empty(); }

Result<HubRef> ParseHubRef(const std::string& text) {
  std::string_view rest = WithoutLatest(WithoutHubPrefix(text));
  HubRef ref;
  const size_t org_end = rest.find('/');
  if (org_end == std::string_view::npos) return NoHubRef(text);
  const size_t repo_end = std::min(rest.find_first_of("@:/", org_end + 1), rest.size());
  ref.repo = rest.substr(0, repo_end);
  rest.remove_prefix(repo_end);
  if (rest.starts_with('@')) {
    const size_t end = std::min(rest.find_first_of(":/", 1), rest.size());
    ref.revision = rest.substr(1, end - 1);
    if (ref.revision.empty()) return NoHubRef(text);
    if (ref.revision == "main") ref.revision.clear();
    rest.remove_prefix(end);
  }
  if (rest.size() == 1) return NoHubRef(text);  // a separator and nothing after it
  if (rest.starts_with(':')) ref.quant = Upper(std::string(rest.substr(1)));
  if (rest.starts_with('/')) ref.file = rest.substr(1);
  return Checked(ref, text);
}

Result<ModelSource> FindModelSource(const std::string& text) {
  const std::string name(WithoutLatest(text));
  ModelSource source;
  if (LooksLikeHubRef(text)) {
    LULL_ASSIGN_OR_RETURN(source.hub, ParseHubRef(text));
    if (!source.hub.quant.empty() || !source.hub.file.empty()) source.name = source.hub.Name();
    return source;
  }
  source.name = name;
  source.entry = FindCatalogEntry(name);
  if (source.entry != nullptr) return source;
  const size_t colon = name.find(':');
  const std::optional<HubRef> known =
      FindKnown(name.substr(0, colon), colon == std::string::npos ? "" : name.substr(colon + 1));
  if (!known.has_value()) return UnknownName(text);
  source.hub = *known;
  return source;
}

std::string StoreName(const std::string& text) {
  if (LooksLikeHubRef(text))
    if (const Result<HubRef> ref = ParseHubRef(text); ref.ok()) return ref->Name();
  return std::string(WithoutLatest(text));
}

Status CheckNewName(const std::string& name) {
  const auto allowed = [](char c) { return IsWordChar(c) || c == ':' || c == '/'; };
  const bool sound = !name.empty() && name.size() <= kMaxNameChars && IsWordChar(name[0]) &&
                     name[0] != '.' && name[0] != '-' && name.find("..") == std::string::npos &&
                     std::all_of(name.begin(), name.end(), allowed);
  if (!sound)
    return Status(ErrorCode::kUsage, "not a name for a model", name.substr(0, 200),
                  "use letters, digits, and . _ - : / between them");
  if (FindCatalogEntry(name) != nullptr || LooksLikeHubRef(name))
    return Status(ErrorCode::kUsage, "a name that means a model elsewhere", name,
                  "take another one");
  return Status();
}

}  // namespace lull
