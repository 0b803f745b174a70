#include "store/pip.h"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/os/os.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

// Measured: 25.1 with fast-deps still moves the whole file, 25.3 moves its directory only.
constexpr int kRangedMajor = 25, kRangedMinor = 3;
constexpr char kRangedPip[] = "pip>=25.3";

nlohmann::json Field(const nlohmann::json& object, const char* name) {
  return object.is_object() && object.contains(name) ? object[name] : nlohmann::json();
}
std::string Text(const nlohmann::json& object, const char* name) {
  const nlohmann::json field = Field(object, name);
  return field.is_string() ? field.get<std::string>() : "";
}

Result<PackageFile> ParseReport(const std::string& report, const std::string& package) {
  const auto json = nlohmann::json::parse(report, nullptr, false);
  if (json.is_object() && json.contains("install") && json["install"].is_array() &&
      !json["install"].empty()) {
    const nlohmann::json info = Field(json["install"][0], "download_info");
    const nlohmann::json archive = Field(info, "archive_info");
    PackageFile file{Text(info, "url"), Text(Field(archive, "hashes"), "sha256")};
    // Older pip versions report the hash in one "sha256=..." string.
    const std::string hash = Text(archive, "hash");
    if (file.sha256.empty() && hash.rfind("sha256=", 0) == 0) file.sha256 = hash.substr(7);
    if (!file.url.empty() && !file.sha256.empty()) return file;
  }
  return Status(ErrorCode::kIo, "pip's report names no location and SHA-256", package,
                "update pip");
}

// --target keeps distribution-managed Pythons from refusing; with --dry-run nothing goes there.
Result<std::string> RunReport(std::vector<std::string> argv, bool by_ranges,
                              const std::string& package) {
  for (const char* arg : {"install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet",
                          "--retries", "2", "--disable-pip-version-check", "--no-input",
                          "--only-binary", ":all:", "--target", "/nonexistent", "--report", "-"})
    argv.push_back(arg);
  if (by_ranges) argv.push_back("--use-feature=fast-deps");
  argv.push_back(package);
  return os::RunCommand(argv);
}

}  // namespace

bool PipReadsRanges(const std::string& version_line) {
  int major = 0, minor = 0;
  return sscanf(version_line.c_str(), "pip %d.%d", &major, &minor) == 2 &&
         (major > kRangedMajor || (major == kRangedMajor && minor >= kRangedMinor));
}

PipLocator::~PipLocator() {
  std::error_code ec;
  if (!scratch_folder_.empty()) fs::remove_all(scratch_folder_, ec);
}

Status PipLocator::ChoosePip() {
  if (!pip_.empty()) return Status();
  const std::vector<std::string> own = {"python3", "-m", "pip"};
  const Result<std::string> version = os::RunCommand({"python3", "-m", "pip", "--version"});
  if (!version.ok())
    return Status(ErrorCode::kNotFound,
                  "python3 with pip is needed to locate the model: " + version.error().message,
                  version.error().where, "install python3 and python3-pip");
  pip_ = own;
  reads_ranges_ = PipReadsRanges(*version);
  if (reads_ranges_) return Status();
  std::error_code ec;
  fs::remove_all(scratch_folder_, ec);
  const Result<std::string> fetched =
      os::RunCommand({"python3", "-m", "pip", "install", "--quiet", "--retries", "2",
                      "--disable-pip-version-check", "--no-input", "--no-deps", "--no-compile",
                      "--only-binary", ":all:", "--target", scratch_folder_, kRangedPip});
  if (fetched.ok()) {  // else the pip that is there does it, at the price of a second download
    pip_ = {"python3", (fs::path(scratch_folder_) / "pip").string()};
    reads_ranges_ = true;
  }
  return Status();
}

Result<PackageFile> PipLocator::Locate(const std::string& package) {
  LULL_RETURN_IF_ERROR(ChoosePip());
  Result<std::string> report = RunReport(pip_, reads_ranges_, package);
  if (!report.ok() && reads_ranges_)
    report = RunReport(pip_, false, package);  // a pip without that feature
  if (!report.ok())
    return Status(ErrorCode::kIo, "pip could not locate the package: " + report.error().message,
                  package,
                  "check that the network and pip's package index are reachable (pip download " +
                      package + ")");
  return ParseReport(*report, package);
}

}  // namespace lull
