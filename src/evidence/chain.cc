#include "evidence/chain.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "base/os/atomic_file.h"
#include "base/os/durable_append.h"
#include "base/os/file_lock.h"

namespace lull {
namespace {

using Json = nlohmann::json;

constexpr char kSignatureKey[] = ",\"signature\":\"";
constexpr size_t kSignatureDigits = 128;
// The length of ,"signature":"..."} at the end of a signed line.
constexpr size_t kTail = sizeof(kSignatureKey) - 1 + kSignatureDigits + 2;
constexpr int64_t kMaxIndex = int64_t{1} << 40;
const std::string kFirstLink(64, '0');

// What stands before line i, in one hash: line 0 stands on zeros.
std::string Link(const std::string& previous, const std::string& line) {
  return Sha256Hex(previous + "\n" + line);
}

// The signature goes last, over the exact bytes of the line without it: nothing has to be formatted
// again to check it.
Result<std::string> SignedLine(Json object, const SigningKey& key) {
  object["key"] = key.public_key();
  // Bytes that are not UTF-8 are replaced: a record is written rather than lost.
  std::string text = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  LULL_ASSIGN_OR_RETURN(const std::string signature, key.Sign(text));
  text.pop_back();
  return text + kSignatureKey + signature + "\"}";
}

struct SignedText {
  bool is_signed = false;  // has a tail as signed lines have
  std::string body, signature;
};

SignedText Split(const std::string& line) {
  if (line.size() < kTail ||
      line.compare(line.size() - kTail, sizeof(kSignatureKey) - 1, kSignatureKey) != 0 ||
      !line.ends_with("\"}"))
    return {};
  return {true, line.substr(0, line.size() - kTail) + "}",
          line.substr(line.size() - 2 - kSignatureDigits, kSignatureDigits)};
}

std::string StringAt(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int64_t NumberAt(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return -1;
  const int64_t number = found->get<int64_t>();
  return number >= 0 && number <= kMaxIndex ? number : -1;
}

struct Line {
  bool is_json = false, is_signed = false, signature_fits = false;
  std::string key, previous;
  int64_t index = -1;
};

Line Parse(const std::string& text) {
  Line line;
  const Json json = Json::parse(text, nullptr, false);
  line.is_json = json.is_object();
  const SignedText parts = Split(text);
  line.is_signed = line.is_json && (parts.is_signed || json.contains("signature"));
  if (!line.is_signed) return line;
  line.key = StringAt(json, "key");
  line.signature_fits = parts.is_signed && VerifySignature(line.key, parts.body, parts.signature);
  const auto chain = json.find("chain");
  if (chain == json.end() || !chain->is_object()) return line;
  line.index = NumberAt(*chain, "index");
  line.previous = StringAt(*chain, "previous");
  return line;
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// How the next record goes on: its index and what stands before it.
struct Position {
  int64_t index = 0;
  std::string link = kFirstLink;

  // After the line. A signed line says itself where it stands.
  Position After(const std::string& text, const Line& line) const {
    if (line.is_signed && line.index >= 0) return {line.index + 1, Link(line.previous, text)};
    return {index + 1, Link(link, text)};
  }
};

struct Head {
  bool fits = false;  // is a head, signed by its key
  std::string key;
  Position at;
};

Head ParseHead(const std::string& text) {
  const std::vector<std::string> lines = LinesOf(text);
  Head head;
  if (lines.size() != 1) return head;
  const SignedText parts = Split(lines[0]);
  const Json json = Json::parse(lines[0], nullptr, false);
  if (!parts.is_signed || !json.is_object()) return head;
  head.key = StringAt(json, "key");
  head.at = {NumberAt(json, "records"), StringAt(json, "head")};
  head.fits = head.at.index >= 0 && VerifySignature(head.key, parts.body, parts.signature);
  return head;
}

std::optional<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Status WriteHead(const std::string& path, const Position& at, const SigningKey& key) {
  LULL_ASSIGN_OR_RETURN(std::string line,
                        SignedLine({{"records", at.index}, {"head", at.link}}, key));
  line += '\n';
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<os::AtomicFile> file,
                        os::AtomicFile::Create(HeadPathOf(path)));
  LULL_RETURN_IF_ERROR(
      file->Write(std::span(reinterpret_cast<const uint8_t*>(line.data()), line.size())));
  return file->Commit();
}

class Verifier {
 public:
  Verifier(const std::vector<std::string>& texts, const std::string& expected_key)
      : texts_(texts), expected_key_(expected_key) {
    for (const std::string& text : texts) lines_.push_back(Parse(text));
    for (const Line& line : lines_)
      if (line.is_signed) indices_.insert(line.index);
    report_.records = static_cast<int64_t>(texts.size());
  }

  ChainReport Run(const std::optional<std::string>& head) {
    for (size_t i = 0; i < lines_.size(); ++i) {
      CheckLine(i);
      at_ = at_.After(texts_[i], lines_[i]);
    }
    // The first signed record vouches for what stands before it.
    if (!expected_key_.empty() && !any_signed_ && !lines_.empty())
      Find(lines_.size() - 1, "no record is signed, and a key must have signed");
    if (report_.unsigned_records > 0)
      report_.notes.push_back(std::to_string(report_.unsigned_records) +
                              " unsigned from before records were signed");
    if (any_signed_ || head.has_value()) CheckHead(head);
    if (report_.keys.size() > 1)
      report_.notes.push_back(std::to_string(report_.keys.size()) + " keys signed");
    return std::move(report_);
  }

 private:
  void Find(size_t line, std::string problem) {
    report_.findings.push_back({static_cast<int64_t>(line) + 1, std::move(problem)});
    last_found_ = line;
  }

  void CheckLine(size_t i) {
    const Line& line = lines_[i];
    if (!line.is_json) return Find(i, "not a JSON object");
    if (!line.is_signed) {
      ++report_.unsigned_records;
      if (any_signed_) Find(i, "unsigned, after signed records");
      return;
    }
    any_signed_ = true;
    if (!line.signature_fits) return Find(i, "altered: the signature does not fit");
    CheckKey(i, line.key);
    CheckPlace(i, line);
  }

  void CheckKey(size_t i, const std::string& key) {
    if (std::find(report_.keys.begin(), report_.keys.end(), key) == report_.keys.end())
      report_.keys.push_back(key);
    if (!expected_key_.empty() && key != expected_key_) Find(i, "signed by another key");
  }

  void CheckPlace(size_t i, const Line& line) {
    if (line.index == at_.index && line.previous == at_.link) return;
    if (line.index == at_.index) {
      // A line found altered breaks the link of the next one as well: said once.
      if (last_found_ + 1 == i && i > 0) return;
      return Find(i, "what stands before it is not what it was written after");
    }
    if (line.index < at_.index) return Find(i, "out of order: record " + Name(line.index));
    int64_t missing = 0;
    for (int64_t k = at_.index; k < line.index && missing < kMaxCounted; ++k)
      missing += indices_.count(k) == 0;
    if (missing == 0) return Find(i, "out of order: record " + Name(line.index));
    Find(i,
         std::to_string(missing) + (missing == 1 ? " record" : " records") + " missing before it");
  }

  void CheckHead(const std::optional<std::string>& text) {
    const size_t end = lines_.size();
    if (!text.has_value()) return Find(end, "no head file: removed last records would not show");
    const Head head = ParseHead(*text);
    if (!head.fits) return Find(end, "the head file is altered: its signature does not fit");
    CheckKey(end, head.key);
    if (head.at.index > at_.index)
      return Find(end, std::to_string(head.at.index - at_.index) + " missing at the end");
    if (head.at.index < at_.index)
      return report_.notes.push_back(std::to_string(at_.index - head.at.index) +
                                     " newer than the head file: a writer was cut off");
    if (head.at.link != at_.link && last_found_ + 1 != end)
      Find(end, "the head file is of another last record");
  }

  static std::string Name(int64_t index) { return std::to_string(index + 1) + " of the chain"; }
  static constexpr int64_t kMaxCounted = 1'000'000;

  const std::vector<std::string>& texts_;
  const std::string& expected_key_;
  std::vector<Line> lines_;
  std::set<int64_t> indices_;
  Position at_;
  bool any_signed_ = false;
  size_t last_found_ = SIZE_MAX - 1;
  ChainReport report_;
};

}  // namespace

std::string HeadPathOf(const std::string& path) { return path + ".head"; }

Status AppendSigned(const std::string& path, const nlohmann::json& record, const SigningKey& key) {
  if (!record.is_object() || record.contains("chain") || record.contains("key") ||
      record.contains("signature"))
    return Status(ErrorCode::kUsage, "a record is an object without chain, key and signature",
                  path);
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<os::FileLock> lock,
                        os::FileLock::Acquire(path + ".lock"));
  Position at;
  for (const std::string& text : LinesOf(ReadText(path).value_or("")))
    at = at.After(text, Parse(text));
  const std::optional<std::string> head_text = ReadText(HeadPathOf(path));
  const Head head = head_text.has_value() ? ParseHead(*head_text) : Head();
  if (head.fits && head.at.index > at.index) at = head.at;
  Json full = record;
  full["chain"] = {{"index", at.index}, {"previous", at.link}};
  LULL_ASSIGN_OR_RETURN(const std::string line, SignedLine(std::move(full), key));
  LULL_RETURN_IF_ERROR(os::AppendLine(path, line));
  return WriteHead(path, {at.index + 1, Link(at.link, line)}, key);
}

ChainReport VerifyChainText(const std::string& records, const std::optional<std::string>& head,
                            const std::string& expected_key) {
  const std::vector<std::string> lines = LinesOf(records);
  return Verifier(lines, expected_key).Run(head);
}

Result<ChainReport> VerifyChain(const std::string& path, const std::string& expected_key) {
  if (std::filesystem::is_directory(path))
    return Status(ErrorCode::kUsage, "a folder, not a file of records", path);
  const std::optional<std::string> records = ReadText(path);
  if (!records.has_value()) return Status(ErrorCode::kNotFound, "no such file", path);
  return VerifyChainText(*records, ReadText(HeadPathOf(path)), expected_key);
}

}  // namespace lull
