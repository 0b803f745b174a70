// A Runner without a model: the logits of a row are a hash of all tokens of its sequence so far, so
// any mistake of a scheduler (order, position, mixed-up sequences) changes the answer. It checks
// what a caller must hold to, and counts pages like a pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/runner.h"
#include "tokenizer/tokenizer.h"

namespace lull::testing {

inline uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

struct FakeRunnerOptions {
  int64_t vocab_size = 64;
  int64_t max_context_tokens = 512;
  int64_t pool_pages = 32;
  int max_sequences = 64;
  int max_batch_rows = 512;
  bool prefix_cache = false;  // remembers every page of prompt it ever computed; takes no room
};

class FakeRunner : public Runner {
 public:
  using Options = FakeRunnerOptions;
  static constexpr int64_t kBytesPerPass = 1'000'003;
  explicit FakeRunner(const Options& options) : options_(options) {}

  // Called with the rows of each Forward; what it returns is returned, before anything is changed.
  std::function<Status(const ExecContext&, std::span<const BatchRow>)> on_forward;

  // What a caller did wrong, empty if nothing. Thread-safe, as are the three counters.
  std::string misuse() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return misuse_;
  }
  std::atomic<int64_t> forwards{0};
  std::atomic<int64_t> max_rows_seen{0};
  std::atomic<int64_t> pages_used{0};

  int64_t vocab_size() const override { return options_.vocab_size; }
  int64_t max_context_tokens() const override { return options_.max_context_tokens; }
  int max_batch_rows() const override { return options_.max_batch_rows; }

  Result<int> OpenSequence() override {
    if (static_cast<int>(sequences_.size()) >= options_.max_sequences) {
      return Error{ErrorCode::kBusy, "too many sequences", "", ""};
    }
    sequences_[next_id_];
    return next_id_++;
  }
  void CloseSequence(int sequence) override {
    const auto it = sequences_.find(sequence);
    if (it == sequences_.end()) return;
    pages_used -= Pages(it->second);
    sequences_.erase(it);
    sharing_.erase(sequence);
  }
  Status SetAdapters(int, std::span<const AdapterUse> adapters) override {
    return adapters.empty() ? Status::Ok() : Status(ErrorCode::kUsage, "no adapters here");
  }
  int64_t AdoptPrefix(int sequence, std::span<const int32_t> tokens) override {
    if (!options_.prefix_cache) return 0;
    std::vector<int32_t>& own = sequences_.at(sequence);
    if (!own.empty()) Blame("a prefix for a sequence that has begun");
    sharing_.insert(sequence);
    for (size_t end = 64; end < tokens.size(); end += 64) {
      const auto stop = tokens.begin() + static_cast<std::ptrdiff_t>(end);
      if (!known_.count(std::vector<int32_t>(tokens.begin(), stop))) break;
      own.assign(tokens.begin(), stop);
    }
    pages_used += Pages(own);
    return static_cast<int64_t>(own.size());
  }
  Status TruncateSequence(int sequence, int64_t length) override {
    std::vector<int32_t>& tokens = sequences_.at(sequence);
    pages_used -= Pages(tokens);
    tokens.resize(std::min(tokens.size(), static_cast<size_t>(length)));
    pages_used += Pages(tokens);
    return Status::Ok();
  }
  int64_t SequenceLength(int sequence) const override {
    const auto it = sequences_.find(sequence);
    return it == sequences_.end() ? 0 : static_cast<int64_t>(it->second.size());
  }
  bool HasRoom(int sequence, int64_t tokens) const override {
    const int64_t length = SequenceLength(sequence);
    return PagesOf(length + tokens) - PagesOf(length) <= options_.pool_pages - pages_used;
  }
  KvUsage kv_usage() const override {
    return {pages_used, 0, options_.pool_pages, pages_used * 1000, 0, options_.pool_pages * 1000};
  }

  int64_t SequenceKvBytes(int sequence) const override {
    return PagesOf(SequenceLength(sequence)) * 1000;
  }
  int64_t bytes_moved() const override { return forwards * kBytesPerPass; }

  void ForEachRow(const ExecContext& ctx, size_t n,
                  const std::function<void(size_t)>& fn) override {
    ParallelFor(ctx, n, [&fn](size_t row, int) { fn(row); });
  }
  Status Forward(const ExecContext& ctx, std::span<const BatchRow> rows,
                 std::span<const int32_t> logits_rows, float* logits) override {
    ++forwards;
    max_rows_seen = std::max<int64_t>(max_rows_seen, static_cast<int64_t>(rows.size()));
    if (static_cast<int>(rows.size()) > options_.max_batch_rows) Blame("batch too long");
    if (on_forward) LULL_RETURN_IF_ERROR(on_forward(ctx, rows));
    LULL_RETURN_IF_ERROR(CheckRows(rows));
    std::vector<uint64_t> state(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      std::vector<int32_t>& tokens = sequences_.at(rows[i].sequence);
      pages_used -= Pages(tokens);
      tokens.push_back(rows[i].token);
      pages_used += Pages(tokens);
      if (tokens.size() % 64 == 0 && sharing_.count(rows[i].sequence)) known_.insert(tokens);
      state[i] = Hash(tokens);
      ctx.Checkpoint();
    }
    if (pages_used > options_.pool_pages) Blame("pool overdrawn");
    for (size_t i = 0; i < logits_rows.size(); ++i) {
      Fill(state[static_cast<size_t>(logits_rows[i])],
           {logits + i * static_cast<size_t>(options_.vocab_size),
            static_cast<size_t>(options_.vocab_size)});
    }
    return Status::Ok();
  }

 private:
  static int64_t PagesOf(int64_t tokens) { return (tokens + 63) / 64; }
  static int64_t Pages(const std::vector<int32_t>& tokens) {
    return PagesOf(static_cast<int64_t>(tokens.size()));
  }
  static uint64_t Hash(const std::vector<int32_t>& tokens) {
    uint64_t hash = 1;
    for (const int32_t token : tokens) hash = Mix(hash + static_cast<uint64_t>(token) + 1);
    return hash;
  }
  static void Fill(uint64_t state, std::span<float> logits) {
    for (size_t i = 0; i < logits.size(); ++i) {
      logits[i] = static_cast<float>(Mix(state + i) >> 40) * 0x1p-21f;  // 0 to 8
    }
  }
  Status CheckRows(std::span<const BatchRow> rows) {
    std::map<int, int64_t> length;
    for (const BatchRow& row : rows) {
      if (!sequences_.count(row.sequence)) return Refuse("row of a closed sequence");
      const auto [it, first] = length.emplace(row.sequence, SequenceLength(row.sequence));
      if (row.position != it->second++) return Refuse("positions not consecutive");
      if (row.token < 0 || row.token >= options_.vocab_size) return Refuse("token out of range");
      if (it->second > options_.max_context_tokens) return Refuse("context overrun");
    }
    return Status::Ok();
  }
  void Blame(const std::string& what) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (misuse_.empty()) misuse_ = what;
  }
  Status Refuse(const std::string& what) {
    Blame(what);
    return {ErrorCode::kInternal, what};
  }

  const Options options_;
  std::map<int, std::vector<int32_t>> sequences_;
  std::set<int> sharing_;
  std::set<std::vector<int32_t>> known_;
  int next_id_ = 0;
  mutable std::mutex mutex_;
  std::string misuse_;
};

// Token i stands for the i-th byte string given; streams hold back incomplete characters.
class FakeTokenizer : public Tokenizer {
 public:
  FakeTokenizer(std::vector<std::string> pieces, int32_t end_token)
      : pieces_(std::move(pieces)), end_token_(end_token) {}

  // "a" "b" ... for every id, the last one ending the answer.
  static FakeTokenizer Letters(int64_t vocab_size) {
    std::vector<std::string> pieces;
    for (int64_t i = 0; i < vocab_size; ++i)
      pieces.emplace_back(1, static_cast<char>('0' + i % 75));
    return FakeTokenizer(std::move(pieces), static_cast<int32_t>(vocab_size) - 1);
  }

  int64_t vocab_size() const override { return static_cast<int64_t>(pieces_.size()); }
  Result<std::vector<int32_t>> Encode(const ExecContext&, std::string_view,
                                      const TokenizeOptions&) const override {
    return Error{ErrorCode::kUnsupported, "not needed", "", ""};
  }
  std::string TokenBytes(int32_t token, bool special) const override {
    if (token == control_token && !special) return "";
    return pieces_[static_cast<size_t>(token)];
  }
  int32_t control_token = -1;  // its text is no part of an answer
  std::string Decode(const ExecContext&, const std::vector<int32_t>& tokens,
                     bool special) const override {
    std::string text;
    for (const int32_t token : tokens) text += TokenBytes(token, special);
    return text;
  }
  std::unique_ptr<TextStream> NewTextStream(bool) const override {
    return std::make_unique<Stream>(*this);
  }
  bool IsEndOfGeneration(int32_t token) const override { return token == end_token_; }
  bool adds_bos() const override { return false; }
  int32_t bos_token() const override { return -1; }
  int32_t eos_token() const override { return end_token_; }
  std::string TokenText(int32_t token) const override { return TokenBytes(token, true); }

 private:
  class Stream : public TextStream {
   public:
    explicit Stream(const FakeTokenizer& tokenizer) : tokenizer_(tokenizer) {}
    std::string Push(int32_t token) override {
      held_ += tokenizer_.TokenBytes(token, false);
      size_t whole = 0;
      while (whole < held_.size()) {
        const uint8_t lead = static_cast<uint8_t>(held_[whole]);
        const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (whole + length > held_.size()) break;
        whole += length;
      }
      std::string out = held_.substr(0, whole);
      held_.erase(0, whole);
      return out;
    }
    std::string Finish() override {
      const bool malformed = !held_.empty();
      held_.clear();
      return malformed ? "\xef\xbf\xbd" : "";
    }

   private:
    const FakeTokenizer& tokenizer_;
    std::string held_;
  };

  std::vector<std::string> pieces_;
  int32_t end_token_;
};

}  // namespace lull::testing
