#include "cli/output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/os/os.h"
#include "cli/environment.h"

namespace lull {
namespace {

constexpr size_t kMaxInputBytes = size_t{1} << 30;

struct FileCloser {
  void operator()(FILE* file) const { fclose(file); }
};

Result<std::string> ReadAll(FILE* file, const std::string& where) {
  std::string text;
  std::vector<char> piece(1 << 16);
  size_t bytes = 0;
  while ((bytes = fread(piece.data(), 1, piece.size(), file)) > 0) {
    text.append(piece.data(), bytes);
    if (text.size() > kMaxInputBytes)
      return Status(ErrorCode::kInvalidInput, "more than 1 GiB of input", where,
                    "give less at once");
  }
  if (ferror(file) != 0)
    return Status(ErrorCode::kIo, std::string("cannot read: ") + strerror(errno), where,
                  "give a file that can be read");
  return text;
}

}  // namespace

int ExitCode(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk:
      return 0;
    case ErrorCode::kUsage:
      return 2;
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kBudgetImpossible:
    case ErrorCode::kBusy:
      return 4;
    default:
      return 3;
  }
}

void PrintError(const Error& error, bool json) {
  fprintf(stderr, "lull: %s\n", error.message.c_str());
  if (!error.where.empty()) fprintf(stderr, "  where: %s\n", error.where.c_str());
  if (!error.hint.empty()) fprintf(stderr, "  try:   %s\n", error.hint.c_str());
  if (!json) return;
  PrintJson({{"error",
              {{"code", ErrorCodeName(error.code)},
               {"message", error.message},
               {"where", error.where},
               {"hint", error.hint}}}});
}

void PrintJson(const Json& value) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  fprintf(stdout, "%s\n", text.c_str());
  fflush(stdout);
}

void ProgressBar::Update(const std::string& label, uint64_t done, uint64_t total,
                         const char* unit) {
  if (!os::IsTerminal(2)) {
    if (label != label_) fprintf(stderr, "%s\n", label.c_str());
    label_ = label;
    return;
  }
  if (drawn_ && label != label_) fprintf(stderr, "\n");
  label_ = label;
  drawn_ = true;
  if (total == 0) {
    fprintf(stderr, "\r%s ...", label.c_str());
    return;
  }
  constexpr int kWidth = 30;
  const double share = static_cast<double>(done) / static_cast<double>(total);
  const int filled = static_cast<int>(share * kWidth + 0.5);
  std::string bar;
  for (int i = 0; i < kWidth; ++i) bar += i < filled ? "━" : "─";
  const bool bytes = std::string(unit) == "MiB";
  const double scale = bytes ? 1.0 / (1 << 20) : 1.0;
  fprintf(stderr, "\r%-34s %s %3.0f %%  %.*f/%.*f %s ", label.c_str(), bar.c_str(), share * 100,
          bytes ? 1 : 0, static_cast<double>(done) * scale, bytes ? 1 : 0,
          static_cast<double>(total) * scale, unit);
  fflush(stderr);
}

void ProgressBar::Finish() {
  if (drawn_) fprintf(stderr, "\n");
  drawn_ = false;
}

std::string DataFolder() {
  if (const std::string own = EnvironmentVariable("LULL_HOME"); !own.empty()) return own;
  if (const std::string data = EnvironmentVariable("XDG_DATA_HOME"); !data.empty())
    return data + "/lull";
  const std::string home = EnvironmentVariable("HOME");
  return (home.empty() ? "." : home) + "/.local/share/lull";
}

std::string ModelsFolder() { return DataFolder() + "/models"; }

Status CheckNotAnInput(const std::string& out, std::initializer_list<std::string> inputs) {
  namespace fs = std::filesystem;
  std::error_code ec;
  if (!fs::exists(out, ec)) return Status();
  for (const std::string& input : inputs) {
    if (input.empty()) continue;
    const bool inside = fs::is_directory(input, ec) &&
                        fs::equivalent(input, fs::canonical(out, ec).parent_path(), ec);
    if (inside || fs::equivalent(input, out, ec))
      return Status(ErrorCode::kUsage, "the result would replace " + input, out,
                    "give another name");
  }
  return Status();
}

Result<std::string> ReadWholeFile(const std::string& path) {
  const std::unique_ptr<FILE, FileCloser> file(fopen(path.c_str(), "rb"));
  if (file == nullptr) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
    return Status(code, std::string("cannot open: ") + strerror(errno), path,
                  "give a file that can be read");
  }
  return ReadAll(file.get(), path);
}

Result<std::string> ReadStdin() { return ReadAll(stdin, "stdin"); }

Status FlushStdout() {
  const bool flushed = fflush(stdout) == 0;
  if (flushed && ferror(stdout) == 0) return Status();
  return Status(ErrorCode::kIo, "the output could not be written", "stdout", "is the disk full?");
}

}  // namespace lull
