#include "cache/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace lull {
namespace {

constexpr auto kPage = static_cast<int64_t>(kPageTokens);
// Pages kept behind a sliding window, so that a short truncation finds what it needs.
constexpr int64_t kSlackPages = 1;

int64_t PagesFor(int64_t tokens) { return (tokens + kPage - 1) / kPage; }

// Pages of one window that a single sequence can hold outside of a pass.
int64_t WindowPages(int64_t window) { return PagesFor(window) + 1 + kSlackPages; }

// A window never needs more than this, whatever the sequences' lengths.
int64_t PoolPages(const KvGroup& group, const KvCacheOptions& options) {
  const int64_t full = PagesFor(options.pool_tokens);
  if (group.window == 0) return full;
  return std::min(full, options.max_sequences * (WindowPages(group.window) + 1) +
                            PagesFor(options.max_batch_rows) +
                            PagesFor(options.prefix_cache_tokens));
}

// Recurrent states at page ends, one beside each page that the prefix cache may keep.
int64_t SnapshotPages(const KvLayout& layout, const KvCacheOptions& options) {
  if (layout.state_floats() == 0) return 0;
  return std::min(PagesFor(options.pool_tokens), PagesFor(options.prefix_cache_tokens));
}

size_t StateBytes(const KvLayout& layout) { return layout.state_floats() * sizeof(float) * 2; }

}  // namespace

KvBytes KvCacheBytes(const KvLayout& layout, const KvCacheOptions& options) {
  KvBytes bytes;
  const int64_t context = PagesFor(options.max_context_tokens);
  for (const KvGroup& group : layout.groups()) {
    const int64_t held =
        group.window == 0 ? context : std::min(context, WindowPages(group.window) + 1);
    bytes.all += static_cast<size_t>(PoolPages(group, options)) * group.page_bytes;
    bytes.sequence += static_cast<size_t>(held) * group.page_bytes;
  }
  bytes.all += StateBytes(layout) * static_cast<size_t>(options.max_sequences);
  bytes.all +=
      layout.state_floats() * sizeof(float) * static_cast<size_t>(SnapshotPages(layout, options));
  bytes.sequence += StateBytes(layout);
  return bytes;
}

Result<std::unique_ptr<KvCache>> KvCache::Create(const KvLayout& layout,
                                                 const KvCacheOptions& options) {
  std::unique_ptr<KvCache> cache(new KvCache(layout));
  cache->options_ = options;
  for (const KvGroup& group : layout.groups()) {
    const auto pages = static_cast<size_t>(PoolPages(group, options));
    LULL_ASSIGN_OR_RETURN(BlockPool pool, BlockPool::Create(group.page_bytes, pages));
    cache->pools_.push_back(std::move(pool));
  }
  LULL_ASSIGN_OR_RETURN(BlockPool snapshot_pool,
                        BlockPool::Create(layout.state_floats() * sizeof(float),
                                          static_cast<size_t>(SnapshotPages(layout, options))));
  cache->pools_.push_back(std::move(snapshot_pool));
  LULL_ASSIGN_OR_RETURN(
      cache->states_,
      os::Memory::Allocate(StateBytes(layout) * static_cast<size_t>(options.max_sequences)));
  cache->sequences_.resize(static_cast<size_t>(options.max_sequences));
  for (Sequence& s : cache->sequences_) {
    s.tables.resize(layout.groups().size());
    for (size_t g = 0; g < s.tables.size(); ++g)
      s.tables[g].pages.reserve(std::min(static_cast<size_t>(PagesFor(options.max_context_tokens)),
                                         cache->pools_[g].total()));
  }
  return cache;
}

Result<int> KvCache::Open() {
  for (size_t i = 0; i < sequences_.size(); ++i) {
    if (sequences_[i].open) continue;
    sequences_[i].open = true;
    const int id = static_cast<int>(i);
    LULL_RETURN_IF_ERROR(Truncate(id, 0));
    return id;
  }
  return Status(ErrorCode::kBusy,
                "all " + std::to_string(sequences_.size()) + " sequences are open", "max_sequences",
                "close one, or allow more");
}

void KvCache::Close(int sequence) {
  if (!IsOpen(sequence)) return;
  Sequence& s = at(sequence);
  LeaveTree(s);
  TrimTail(s, 0);
  s.length = 0;
  s.open = false;
  KeepWithinBounds();
}

bool KvCache::IsOpen(int sequence) const {
  return sequence >= 0 && static_cast<size_t>(sequence) < sequences_.size() && at(sequence).open;
}

int64_t KvCache::length(int sequence) const { return IsOpen(sequence) ? at(sequence).length : 0; }

int64_t KvCache::FirstNeededPage(const KvGroup& group, int64_t length) const {
  return group.window > 0 ? std::max<int64_t>(0, length - group.window + 1) / kPage : 0;
}

// Gives back the pages at the end that hold no position below length.
void KvCache::TrimTail(Sequence& s, int64_t length) {
  for (size_t g = 0; g < s.tables.size(); ++g) {
    Table& table = s.tables[g];
    const int64_t keep = std::max<int64_t>(0, PagesFor(length) - table.first_page);
    while (static_cast<int64_t>(table.pages.size()) > keep) {
      pools_[g].Give(table.pages.back());
      table.pages.pop_back();
    }
    if (length == 0) table.first_page = 0;
  }
}

// Gives back the pages that have left their window.
void KvCache::DropHead(Sequence& s) {
  for (size_t g = 0; g < s.tables.size(); ++g) {
    Table& table = s.tables[g];
    const int64_t first =
        std::max<int64_t>(0, FirstNeededPage(layout_.groups()[g], s.length) - kSlackPages);
    const int64_t drop =
        std::min<int64_t>(first - table.first_page, static_cast<int64_t>(table.pages.size()));
    if (drop <= 0) continue;
    for (int64_t i = 0; i < drop; ++i) pools_[g].Give(table.pages[static_cast<size_t>(i)]);
    table.pages.erase(table.pages.begin(), table.pages.begin() + drop);
    table.first_page += drop;
  }
}

Status KvCache::Truncate(int sequence, int64_t length) {
  if (!IsOpen(sequence))
    return Status(ErrorCode::kUsage, "sequence " + std::to_string(sequence) + " is not open",
                  "sequence");
  Sequence& s = at(sequence);
  if (length < 0 || length > s.length)
    return Status(ErrorCode::kUsage,
                  "cannot truncate a sequence of " + std::to_string(s.length) + " tokens to " +
                      std::to_string(length),
                  "length");
  if (length > 0 && length < s.length) {
    if (s.node != nullptr)
      return Status(ErrorCode::kUnsupported,
                    "this sequence shares its pages with others, which need what it would change",
                    "length", "truncate to 0, or to its own length");
    if (layout_.state_floats() > 0)
      return Status(ErrorCode::kUnsupported,
                    "this model has recurrent state, which cannot go back from " +
                        std::to_string(s.length) + " to " + std::to_string(length) + " tokens",
                    "length", "truncate to 0 and compute the tokens again");
    for (size_t g = 0; g < s.tables.size(); ++g)
      if (FirstNeededPage(layout_.groups()[g], length) < s.tables[g].first_page)
        return Status(
            ErrorCode::kUnsupported,
            "the sliding window before position " + std::to_string(length) + " has been given back",
            "length", "truncate to 0 and compute the tokens again");
  }
  if (length == 0) LeaveTree(s);
  TrimTail(s, length);
  s.length = length;
  if (length == 0 && layout_.state_floats() > 0)
    memset(StateOf(sequence, s.state_index), 0, layout_.state_floats() * sizeof(float));
  return Status::Ok();
}

int64_t KvCache::MissingPages(const Sequence& s, size_t g, int64_t tokens) const {
  const Table& table = s.tables[g];
  return std::max<int64_t>(
      0, PagesFor(s.length + tokens) - table.first_page - static_cast<int64_t>(table.pages.size()));
}

bool KvCache::HasRoom(int sequence, int64_t tokens) const {
  if (!IsOpen(sequence)) return false;
  const Sequence& s = at(sequence);
  for (size_t g = 0; g < layout_.groups().size(); ++g) {
    int64_t missing = MissingPages(s, g, tokens);
    const int64_t window = layout_.groups()[g].window;
    // Over several passes a window's pages come back; what one sequence holds at once is bounded.
    if (window > 0)
      missing = std::min(
          missing, std::max<int64_t>(0, WindowPages(window) + PagesFor(options_.max_batch_rows) +
                                            1 - static_cast<int64_t>(s.tables[g].pages.size())));
    if (missing > static_cast<int64_t>(obtainable(g))) return false;
  }
  return true;
}

// Snapshots count by their bytes alone: they are no pages of tokens.
KvUsage KvCache::usage() const {
  KvUsage usage;
  for (size_t p = 0; p < pools_.size(); ++p) {
    const BlockPool& pool = pools_[p];
    const auto pages = [&](size_t n) { return p == state_pool() ? 0 : static_cast<int64_t>(n); };
    usage.pages_used += pages(pool.used());
    usage.pages_cached += pages(pool.cached());
    usage.pages_total += pages(pool.total());
    usage.bytes_used += static_cast<int64_t>(pool.used() * pool.page_bytes());
    usage.bytes_cached += static_cast<int64_t>(pool.cached() * pool.page_bytes());
    usage.bytes_total += static_cast<int64_t>(pool.total() * pool.page_bytes());
  }
  return usage;
}

int64_t KvCache::SequenceBytes(int sequence) const {
  if (!IsOpen(sequence)) return 0;
  const Sequence& s = at(sequence);
  size_t bytes = 0;
  for (size_t g = 0; g < s.tables.size(); ++g)
    bytes += s.tables[g].pages.size() * pools_[g].page_bytes();
  return static_cast<int64_t>(bytes);
}

Status KvCache::Reserve(int sequence, int64_t tokens) {
  Sequence& s = at(sequence);
  for (size_t g = 0; g < s.tables.size(); ++g) {
    const int64_t missing = MissingPages(s, g, tokens);
    if (missing > static_cast<int64_t>(obtainable(g)))
      return Status(ErrorCode::kBusy,
                    "the KV pool has " + std::to_string(obtainable(g)) + " of " +
                        std::to_string(pools_[g].total()) + " pages free; " +
                        std::to_string(missing) + " more are needed for " + std::to_string(tokens) +
                        " tokens",
                    "kv_pool_tokens", "wait for a sequence to end, or give the pool more tokens");
  }
  for (size_t g = 0; g < s.tables.size(); ++g)
    for (int64_t i = MissingPages(s, g, tokens); i > 0; --i) {
      if (pools_[g].available() == 0) EvictOne(g);
      s.tables[g].pages.push_back(pools_[g].Take());
    }
  TakeSnapshots(s, tokens);
  return Status::Ok();
}

void KvCache::Commit(int sequence, int64_t tokens, const int32_t* ids) {
  Sequence& s = at(sequence);
  s.length += tokens;
  s.state_index ^= 1;
  ShareWholePages(s, tokens, ids);
  DropHead(s);
}

void KvCache::Release(int sequence) {
  Sequence& s = at(sequence);
  GiveSnapshots(s);
  TrimTail(s, s.length);
}

const int32_t* KvCache::table(int sequence, int group) const {
  return at(sequence).tables[static_cast<size_t>(group)].pages.data();
}
int64_t KvCache::first_page(int sequence, int group) const {
  return at(sequence).tables[static_cast<size_t>(group)].first_page;
}

float* KvCache::StateOf(int sequence, int index) const {
  return reinterpret_cast<float*>(states_.data()) +
         (2 * static_cast<size_t>(sequence) + static_cast<size_t>(index)) * layout_.state_floats();
}
const float* KvCache::state(int sequence, size_t layer) const {
  return StateOf(sequence, at(sequence).state_index) + layout_.place(layer).state_offset;
}
float* KvCache::next_state(int sequence, size_t layer) {
  return StateOf(sequence, at(sequence).state_index ^ 1) + layout_.place(layer).state_offset;
}
size_t KvCache::snapshot_rows(int sequence, size_t n) const {
  const auto past_page = static_cast<size_t>(at(sequence).length) % kPageTokens;
  return (n + 1) * kPageTokens - past_page;
}
float* KvCache::snapshot(int sequence, size_t n, size_t layer) {
  const int32_t page = at(sequence).snapshots[n];
  if (page < 0) return nullptr;
  return reinterpret_cast<float*>(pools_[state_pool()].at(page)) +
         layout_.place(layer).state_offset;
}

}  // namespace lull
