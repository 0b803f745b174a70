#include "store/pull_queue.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>

#include "base/sha256.h"
#include "tests/store/raw_server.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

std::string Hex(const std::string& bytes) {
  Sha256 sha;
  sha.Update(bytes.data(), bytes.size());
  return sha.Hex();
}

// A hub of repositories o/0, o/1, ..., each with one split model of three parts.
class PullQueueTest : public testing::Test {
 protected:
  PullQueueTest() : server_([this](const std::string& request) { return Answer(request); }) {
    for (int i = 0; i < 5; ++i) Add("o/" + std::to_string(i));
    options_.folder = testing::TempDir() + "pull_queue_" + std::to_string(::getpid());
    options_.hub.endpoint = server_.address();
    options_.hub.fetch.backoff_ms = 1;
    options_.jobs = 4;
  }
  ~PullQueueTest() override { fs::remove_all(options_.folder); }

  void Add(const std::string& repo) {
    const std::string commit(40, 'c');
    answers_["/api/models/" + repo + "/revision/main"] = R"({"sha":")" + commit + "\"}";
    std::string list;
    for (int part = 1; part <= 3; ++part) {
      const std::string path = "m-Q8_0-0000" + std::to_string(part) + "-of-00003.gguf";
      const std::string bytes = repo + std::string(50'000, static_cast<char>('a' + part));
      answers_["/" + repo + "/resolve/" + commit + "/" + path] = bytes;
      list += list.empty() ? '[' : ',';
      list += R"({"type":"file","path":")" + path;
      list += R"(","lfs":{"oid":")" + Hex(bytes);
      list += R"(","size":)" + std::to_string(bytes.size()) + "}}";
    }
    answers_["/api/models/" + repo + "/tree/" + commit + "?recursive=true"] = list + "]";
  }
  std::string Answer(const std::string& request) const {
    const size_t start = request.find(' ') + 1;
    const auto found = answers_.find(request.substr(start, request.find(' ', start) - start));
    if (found == answers_.end()) return RawServer::Head(404, 0);
    return RawServer::Head(200, found->second.size()) + found->second;
  }
  std::vector<PullOutcome> Pull(const std::vector<std::string>& names,
                                const PullObserver& observer = nullptr) {
    std::vector<ModelSource> sources;
    for (const std::string& name : names) sources.push_back(*FindModelSource(name));
    const PullCatalogFn catalog = [](const CatalogEntry& entry, const auto& progress) {
      return progress("step", 1, 2) ? Result<std::string>("/" + entry.file_name)
                                    : Result<std::string>(Status(ErrorCode::kCancelled, "ended"));
    };
    return PullAll(sources, options_, catalog, observer);
  }

  std::map<std::string, std::string> answers_;
  PullQueueOptions options_;
  RawServer server_;  // the last: its thread reads the answers
};

TEST_F(PullQueueTest, SeveralModelsAtOnceEachWithItsOutcome) {
  std::set<std::string> finished;
  const auto outcomes =
      Pull({"hf:o/0", "hf:o/none", "smollm2", "hf:o/1:Q8_0", "hf:o/2", "hf:o/3", "hf:o/1"},
           [&](const PullEvent& event) {
             if (event.finished) finished.insert(std::to_string(event.model) + event.what);
             return true;
           });
  ASSERT_EQ(outcomes.size(), 7u);
  for (const size_t i : {0, 2, 3, 4, 5, 6})
    EXPECT_TRUE(outcomes[i].status.ok()) << i << outcomes[i].status.ToString();
  EXPECT_EQ(outcomes[1].status.code(), ErrorCode::kNotFound);
  EXPECT_EQ(outcomes[2].path, "/smollm2.gguf");
  EXPECT_EQ(outcomes[0].name, "hf:o/0:Q8_0");
  EXPECT_EQ(outcomes[3].path, outcomes[6].path);
  EXPECT_TRUE(fs::exists(outcomes[4].path));
  EXPECT_TRUE(finished.contains("0m-Q8_0-00002-of-00003.gguf"));
  EXPECT_EQ(BlobStore(options_.folder).List().size(), 4u);
  EXPECT_TRUE(fs::is_empty(options_.folder + "/pulls"));
}

TEST_F(PullQueueTest, GivingUpEndsAll) {
  int events = 0;
  const auto outcomes = Pull({"hf:o/0", "smollm2", "hf:o/1", "hf:o/2"},
                             [&](const PullEvent&) { return ++events < 3; });
  for (const PullOutcome& outcome : outcomes) {
    if (!outcome.status.ok()) {
      EXPECT_EQ(outcome.status.code(), ErrorCode::kCancelled);
    }
  }
  EXPECT_EQ(events, 3);
  EXPECT_FALSE(outcomes[2].status.ok() && outcomes[3].status.ok());
}

}  // namespace
}  // namespace lull
