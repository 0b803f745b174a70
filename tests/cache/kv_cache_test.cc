#include "cache/kv_cache.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace lull {
namespace {

using Kind = KvLayerShape::Kind;

KvLayerShape Full(size_t heads, size_t dim) { return {Kind::kFull, 0, heads, dim, 0}; }
KvLayerShape Window(int64_t window, size_t heads, size_t dim) {
  return {Kind::kWindow, window, heads, dim, 0};
}
KvLayerShape Recurrent(size_t floats) { return {Kind::kRecurrent, 0, 0, 0, floats}; }

std::unique_ptr<KvCache> MakeCache(const std::vector<KvLayerShape>& layers, int64_t pool_tokens,
                                   int sequences, int64_t context = 4096, int batch = 64) {
  KvCacheOptions options;
  options.pool_tokens = pool_tokens;
  options.max_context_tokens = context;
  options.max_sequences = sequences;
  options.max_batch_rows = batch;
  auto cache = KvCache::Create(KvLayout(KvType::kF16, layers), options);
  EXPECT_TRUE(cache.ok());
  return std::move(cache).value();
}

void Append(KvCache& cache, int sequence, int64_t tokens) {
  ASSERT_TRUE(cache.Reserve(sequence, tokens).ok());
  cache.Commit(sequence, tokens);
}

TEST(KvLayoutTest, LayersOfOneReachShareAPage) {
  const KvLayout layout(KvType::kF16, {Window(16, 1, 32), Full(2, 32), Window(16, 1, 32),
                                       Recurrent(10), Recurrent(5)});
  ASSERT_EQ(layout.groups().size(), 2u);
  const size_t head = 64 * 32 * 2;
  EXPECT_EQ(layout.groups()[0].page_bytes, 4 * head);
  EXPECT_EQ(layout.groups()[1].page_bytes, 4 * head);
  EXPECT_EQ(layout.place(0).head_bytes, head);
  EXPECT_EQ(layout.place(0).offset, 0u);
  EXPECT_EQ(layout.place(2).offset, 2 * head);
  EXPECT_EQ(layout.place(1).offset, 0u);
  EXPECT_EQ(layout.place(3).group, -1);
  EXPECT_EQ(layout.place(4).state_offset, 10u);
  EXPECT_EQ(layout.state_floats(), 15u);
}

TEST(KvLayoutTest, Int8TakesAByteAndAScaleForEach32) {
  const auto head_bytes = [](KvType type, size_t head_dim) {
    return KvLayout(type, {Full(2, head_dim)}).place(0).head_bytes;
  };
  EXPECT_EQ(head_bytes(KvType::kI8, 64), 64u * 2 * 34);
  EXPECT_EQ(head_bytes(KvType::kI8, 80), 64u * (80 + 3 * 2));
  EXPECT_EQ(32 * head_bytes(KvType::kI8, 128), 17 * head_bytes(KvType::kF16, 128));
  const KvLayout layout(KvType::kI8, {Full(2, 64)});
  EXPECT_EQ(layout.groups()[0].page_bytes, 4 * layout.place(0).head_bytes);
}

TEST(KvCacheTest, PagesGrowWithLengthAndComeBack) {
  auto cache = MakeCache({Full(1, 16)}, 64 * 4, 2);
  const int a = cache->Open().value();
  Append(*cache, a, 1);
  EXPECT_EQ(cache->usage().pages_used, 1);
  Append(*cache, a, 63);
  EXPECT_EQ(cache->usage().pages_used, 1);
  Append(*cache, a, 1);
  EXPECT_EQ(cache->usage().pages_used, 2);
  EXPECT_EQ(cache->length(a), 65);
  ASSERT_TRUE(cache->Truncate(a, 64).ok());
  EXPECT_EQ(cache->usage().pages_used, 1);
  cache->Close(a);
  EXPECT_EQ(cache->usage().pages_used, 0);
  EXPECT_EQ(cache->length(a), 0);
}

TEST(KvCacheTest, ExhaustionIsBusyAndChangesNothing) {
  auto cache = MakeCache({Full(1, 16)}, 64 * 3, 2);
  const int a = cache->Open().value(), b = cache->Open().value();
  EXPECT_EQ(cache->Open().status().code(), ErrorCode::kBusy);
  Append(*cache, a, 128);
  EXPECT_TRUE(cache->HasRoom(b, 64));
  EXPECT_FALSE(cache->HasRoom(b, 65));
  const Status status = cache->Reserve(b, 65);
  EXPECT_EQ(status.code(), ErrorCode::kBusy);
  EXPECT_NE(status.error().message.find("1 of 3 pages free"), std::string::npos)
      << status.ToString();
  EXPECT_EQ(cache->usage().pages_used, 2);
  EXPECT_EQ(cache->length(b), 0);
}

TEST(KvCacheTest, ReleaseGivesBackWhatWasReserved) {
  auto cache = MakeCache({Full(1, 16)}, 64 * 4, 1);
  const int a = cache->Open().value();
  Append(*cache, a, 10);
  ASSERT_TRUE(cache->Reserve(a, 150).ok());
  EXPECT_EQ(cache->usage().pages_used, 3);
  cache->Release(a);
  EXPECT_EQ(cache->usage().pages_used, 1);
  EXPECT_EQ(cache->length(a), 10);
}

TEST(KvCacheTest, WindowPagesLeaveBehind) {
  auto cache = MakeCache({Window(100, 1, 16), Full(1, 16)}, 64 * 64, 1);
  const int a = cache->Open().value();
  for (int i = 0; i < 64; ++i) {
    Append(*cache, a, 37);
    const int64_t length = cache->length(a);
    const int64_t first_visible = std::max<int64_t>(0, length - 100 + 1);
    EXPECT_LE(cache->first_page(a, 0) * 64, first_visible);
    EXPECT_LE(cache->pool(0).used(), 6u);
  }
  EXPECT_GT(cache->first_page(a, 0), 30);
  EXPECT_EQ(cache->first_page(a, 1), 0);
  EXPECT_EQ(cache->pool(1).used(), 37u);
  EXPECT_TRUE(cache->Truncate(a, cache->length(a) - 60).ok());
  const Status status = cache->Truncate(a, 200);
  EXPECT_EQ(status.code(), ErrorCode::kUnsupported);
  EXPECT_TRUE(cache->Truncate(a, 0).ok());
  EXPECT_EQ(cache->usage().pages_used, 0);
  EXPECT_EQ(cache->first_page(a, 0), 0);
}

TEST(KvCacheTest, WindowPoolNeverBlocksWhatTheFullPoolAllows) {
  auto cache = MakeCache({Window(64, 1, 16), Full(1, 16)}, 64 * 100, 3, 6400, 64);
  std::vector<int> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(cache->Open().value());
  for (int step = 0; step < 30; ++step)
    for (int id : ids) {
      EXPECT_TRUE(cache->HasRoom(id, 64));
      Append(*cache, id, step % 3 == 0 ? 64 : 63);
    }
}

TEST(KvCacheTest, TablesHoldDistinctPages) {
  auto cache = MakeCache({Full(1, 16)}, 64 * 8, 2);
  const int a = cache->Open().value(), b = cache->Open().value();
  Append(*cache, a, 200);
  Append(*cache, b, 200);
  std::set<int32_t> pages;
  for (int id : {a, b})
    for (int i = 0; i < 4; ++i) pages.insert(cache->table(id, 0)[i]);
  EXPECT_EQ(pages.size(), 8u);
}

TEST(KvCacheTest, RecurrentStateIsCommittedOrForgotten) {
  auto cache = MakeCache({Recurrent(4), Full(1, 16)}, 64 * 8, 2);
  const int a = cache->Open().value();
  EXPECT_EQ(cache->state(a, 0)[0], 0.0f);
  ASSERT_TRUE(cache->Reserve(a, 1).ok());
  cache->next_state(a, 0)[0] = 5.0f;
  cache->Release(a);
  EXPECT_EQ(cache->state(a, 0)[0], 0.0f);
  ASSERT_TRUE(cache->Reserve(a, 2).ok());
  cache->next_state(a, 0)[0] = 7.0f;
  cache->Commit(a, 2);
  EXPECT_EQ(cache->state(a, 0)[0], 7.0f);
  EXPECT_EQ(cache->Truncate(a, 1).code(), ErrorCode::kUnsupported);
  EXPECT_TRUE(cache->Truncate(a, 2).ok());
  EXPECT_TRUE(cache->Truncate(a, 0).ok());
  EXPECT_EQ(cache->state(a, 0)[0], 0.0f);
  cache->Close(a);
  const int b = cache->Open().value();
  EXPECT_EQ(cache->state(b, 0)[0], 0.0f);
}

TEST(KvCacheTest, BadArguments) {
  auto cache = MakeCache({Full(1, 16)}, 64, 1);
  EXPECT_EQ(cache->Truncate(0, 0).code(), ErrorCode::kUsage);
  const int a = cache->Open().value();
  EXPECT_EQ(cache->Truncate(a, 1).code(), ErrorCode::kUsage);
  EXPECT_EQ(cache->Truncate(a, -1).code(), ErrorCode::kUsage);
  EXPECT_EQ(cache->Truncate(77, 0).code(), ErrorCode::kUsage);
  cache->Close(-3);
  cache->Close(99);
  EXPECT_FALSE(cache->HasRoom(99, 1));
  KvCacheOptions huge;
  huge.pool_tokens = int64_t{1} << 60;
  EXPECT_EQ(KvCache::Create(KvLayout(KvType::kF32, {Full(8, 128)}), huge).status().code(),
            ErrorCode::kOutOfMemory);
}

TEST(BlockPoolTest, APageIsFreeWhenUnusedAndNotKept) {
  BlockPool pool = std::move(BlockPool::Create(64, 2)).value();
  const int32_t page = pool.Take();
  pool.Share(page);
  pool.Give(page);
  EXPECT_EQ(pool.used(), 1u);
  pool.Keep(page);
  pool.Give(page);
  EXPECT_EQ(pool.used(), 0u);
  EXPECT_EQ(pool.cached(), 1u);
  EXPECT_EQ(pool.available(), 1u);
  pool.Share(page);
  EXPECT_EQ(pool.cached(), 0u);
  pool.Drop(page);
  EXPECT_EQ(pool.used(), 1u);
  pool.Give(page);
  EXPECT_EQ(pool.available(), 2u);
}

// Sequences on a cache that shares, and a shadow that knows what every position must hold: each
// position's slot carries a number that depends on all tokens up to it.
class SharingWorld {
 public:
  SharingWorld(uint32_t seed, const std::vector<KvLayerShape>& layers)
      : rng_(seed), cache_(Make(layers, seed)) {}

  void Run() {
    for (int step = 0; step < 400 && !::testing::Test::HasFailure(); ++step) {
      const uint32_t action = rng_() % 10;
      if (open_.empty() || (action < 3 && open_.size() < 4)) {
        Open();
      } else if (action < 4) {
        Close(rng_() % open_.size());
      } else {
        Feed(rng_() % open_.size());
      }
    }
    while (!open_.empty()) Close(0);
    EXPECT_EQ(cache_->usage().pages_used, 0);
    EXPECT_EQ(cache_->usage().bytes_used, 0);
    EXPECT_GT(adopted_, 0);
  }

 private:
  struct One {
    int id = -1;
    std::vector<int32_t> tokens;
    int64_t done = 0;
  };

  static std::unique_ptr<KvCache> Make(const std::vector<KvLayerShape>& layers, uint32_t seed) {
    KvCacheOptions options;
    options.pool_tokens = 64 * (12 + seed % 30);
    options.max_context_tokens = 600;
    options.max_sequences = 4;
    options.max_batch_rows = 150;
    options.prefix_cache_tokens = 64 * (1 + seed % 20);
    return KvCache::Create(KvLayout(KvType::kF32, layers), options).value();
  }

  // What the positions of these tokens stand for.
  static float Mark(const std::vector<int32_t>& tokens, int64_t end) {
    uint64_t hash = 1;
    for (int64_t i = 0; i < end; ++i)
      hash = hash * 31 + static_cast<uint64_t>(tokens[static_cast<size_t>(i)]) + 1;
    return static_cast<float>(hash % 1'000'003);
  }
  float* Slot(int id, int group, int64_t position) {
    const int64_t page = position / 64 - cache_->first_page(id, group);
    EXPECT_GE(page, 0);
    uint8_t* base = cache_->pool(group).at(cache_->table(id, group)[page]);
    return reinterpret_cast<float*>(base) + position % 64;
  }

  void Open() {
    One one;
    one.id = cache_->Open().value();
    one.tokens.resize(1 + rng_() % 600);
    for (int32_t& token : one.tokens) token = rng_() % 80 == 0 ? 1 : 0;
    if (rng_() % 3 == 0) std::fill(one.tokens.begin(), one.tokens.end(), 0);
    if (rng_() % 5 > 0) one.done = cache_->AdoptPrefix(one.id, one.tokens);
    EXPECT_EQ(cache_->length(one.id), one.done);
    adopted_ += one.done;
    open_.push_back(one);
    CheckVisible(one);
  }

  void Feed(size_t i) {
    One& one = open_[i];
    const int64_t left = static_cast<int64_t>(one.tokens.size()) - one.done;
    const int64_t n = std::min<int64_t>(left, 1 + rng_() % 150);
    if (n == 0) return Close(i);
    if (!cache_->Reserve(one.id, n).ok()) return Close(rng_() % open_.size());
    if (rng_() % 6 == 0) return cache_->Release(one.id);
    for (size_t g = 0; g < cache_->layout().groups().size(); ++g)
      for (int64_t p = one.done; p < one.done + n; ++p)
        *Slot(one.id, static_cast<int>(g), p) = Mark(one.tokens, p + 1);
    if (cache_->layout().state_floats() > 0) {
      *cache_->next_state(one.id, 0) = Mark(one.tokens, one.done + n);
      for (size_t s = 0; s < cache_->num_snapshots(one.id); ++s) {
        const auto rows = static_cast<int64_t>(cache_->snapshot_rows(one.id, s));
        ASSERT_LE(rows, n);
        ASSERT_EQ((one.done + rows) % 64, 0);
        float* state = cache_->snapshot(one.id, s, 0);
        if (state != nullptr) *state = Mark(one.tokens, one.done + rows);
      }
    }
    cache_->Commit(one.id, n, one.tokens.data() + one.done);
    one.done += n;
    CheckVisible(one);
  }

  void CheckVisible(const One& one) {
    for (size_t g = 0; g < cache_->layout().groups().size(); ++g) {
      const int64_t window = cache_->layout().groups()[g].window;
      const int64_t first = window > 0 ? std::max<int64_t>(0, one.done - window + 1) : 0;
      for (int64_t p = first; p < one.done; ++p)
        ASSERT_EQ(*Slot(one.id, static_cast<int>(g), p), Mark(one.tokens, p + 1))
            << "position " << p << " of " << one.done;
    }
    if (cache_->layout().state_floats() > 0 && one.done > 0) {
      ASSERT_EQ(*cache_->state(one.id, 0), Mark(one.tokens, one.done));
    }
  }

  void Close(size_t i) {
    cache_->Close(open_[i].id);
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    for (size_t g = 0; g < cache_->layout().groups().size(); ++g) {
      const BlockPool& pool = cache_->pool(static_cast<int>(g));
      EXPECT_EQ(pool.used() + pool.cached() + pool.available(), pool.total());
    }
  }

  std::mt19937 rng_;
  std::unique_ptr<KvCache> cache_;
  std::vector<One> open_;
  int64_t adopted_ = 0;
};

TEST(KvCacheTest, SharedPagesHoldWhatTheirTokensSay) {
  const std::vector<std::vector<KvLayerShape>> shapes = {
      {Full(1, 32)},
      {Window(100, 1, 32), Full(1, 32)},
      {Recurrent(1), Full(1, 32)},
      {Recurrent(1), Window(70, 1, 32)},
  };
  for (uint32_t seed = 1; seed <= 60 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    SharingWorld(seed, shapes[seed % shapes.size()]).Run();
  }
}

// The pool is small: what nobody uses makes room, the least used first, and never what is used.
TEST(KvCacheTest, CachedPagesMakeRoom) {
  KvCacheOptions options;
  options.pool_tokens = 64 * 4;
  options.max_context_tokens = 256;
  options.max_sequences = 2;
  options.prefix_cache_tokens = 64 * 4;
  auto cache = KvCache::Create(KvLayout(KvType::kF16, {Full(1, 16)}), options).value();
  const auto feed = [&](const std::vector<int32_t>& tokens) {
    const int id = cache->Open().value();
    const int64_t begin = cache->AdoptPrefix(id, tokens);
    const auto n = static_cast<int64_t>(tokens.size()) - begin;
    EXPECT_TRUE(cache->HasRoom(id, n));
    EXPECT_TRUE(cache->Reserve(id, n).ok());
    cache->Commit(id, n, tokens.data() + begin);
    cache->Close(id);
    return begin;
  };
  const std::vector<int32_t> a(65, 1), b(65, 2), c(200, 3);
  EXPECT_EQ(feed(a), 0);
  EXPECT_EQ(feed(b), 0);
  EXPECT_EQ(feed(a), 64);
  EXPECT_EQ(cache->usage().pages_cached, 2);
  EXPECT_EQ(feed(c), 0);  // three whole pages and a piece: both have to go
  EXPECT_EQ(cache->usage().pages_cached, 3);
  EXPECT_EQ(feed(c), 192);
  EXPECT_EQ(feed(a), 0);  // takes the free page and the end of c
  EXPECT_EQ(feed(b), 0);  // and what is the end of c now
  EXPECT_EQ(feed(a), 64);
  EXPECT_EQ(feed(c), 64);
}

// Where prompts part within a page the later one goes on in a copy, also where the pool is so full
// that only what is copied could make room.
TEST(KvCacheTest, APageIsCopiedUpToWherePromptsPart) {
  KvCacheOptions options;
  options.pool_tokens = 64 * 3;
  options.max_context_tokens = 192;
  options.max_sequences = 2;
  options.prefix_cache_tokens = 64 * 3;
  auto cache = KvCache::Create(KvLayout(KvType::kF32, {Full(1, 16)}), options).value();
  const auto adopt = [&](int id, int32_t until, size_t size) {
    std::vector<int32_t> tokens(size, 1);
    std::fill(tokens.begin() + until, tokens.end(), 2);
    return cache->AdoptPrefix(id, tokens);
  };
  const int first = cache->Open().value();
  EXPECT_EQ(adopt(first, 130, 130), 0);
  ASSERT_TRUE(cache->Reserve(first, 130).ok());
  const std::vector<int32_t> ones(130, 1);
  cache->Commit(first, 130, ones.data());
  EXPECT_EQ(cache->usage().pages_used, 3);

  const int second = cache->Open().value();
  EXPECT_EQ(adopt(second, 100, 120), 64) << "no page is left for the copy";
  cache->Truncate(second, 0);
  cache->Close(first);
  EXPECT_EQ(cache->usage().pages_cached, 2);
  EXPECT_EQ(adopt(second, 67, 120), 64) << "for three tokens nothing is copied";
  cache->Truncate(second, 0);
  EXPECT_EQ(adopt(second, 100, 120), 100);
  EXPECT_EQ(cache->usage().pages_used, 2);
  cache->Truncate(second, 0);
  EXPECT_EQ(adopt(second, 120, 120), 119) << "the last token's logits are wanted";
}

TEST(KvCacheTest, NoMoreIsKeptThanAllowed) {
  KvCacheOptions options;
  options.pool_tokens = 64 * 16;
  options.max_context_tokens = 1024;
  options.prefix_cache_tokens = 64 * 3;
  auto cache =
      KvCache::Create(KvLayout(KvType::kF16, {Full(1, 16), Recurrent(4)}), options).value();
  const std::vector<int32_t> tokens(640, 1);
  const int id = cache->Open().value();
  EXPECT_EQ(cache->AdoptPrefix(id, tokens), 0);
  ASSERT_TRUE(cache->Reserve(id, 640).ok());
  cache->Commit(id, 640, tokens.data());
  EXPECT_EQ(cache->usage().pages_used, 10);
  cache->Close(id);
  EXPECT_EQ(cache->usage().pages_used, 0);
  EXPECT_EQ(cache->usage().pages_cached, 3);
}

// Nodes hold no page of attention, and the one snapshot goes from sequence to sequence.
TEST(KvCacheTest, APrefixThatLostItsStateLeavesNothingBehind) {
  KvCacheOptions options;
  options.pool_tokens = 1024;
  options.max_context_tokens = 1024;
  options.max_sequences = 2;
  options.prefix_cache_tokens = 64;
  auto cache = KvCache::Create(KvLayout(KvType::kF16, {Recurrent(8)}), options).value();
  for (int32_t round = 0; round < 20; ++round) {
    int open[2];
    for (int32_t i = 0; i < 2; ++i) {
      const std::vector<int32_t> tokens(200, 2 * round + i);
      open[i] = cache->Open().value();
      EXPECT_EQ(cache->AdoptPrefix(open[i], tokens), 0);
      ASSERT_TRUE(cache->Reserve(open[i], 200).ok());
      cache->Commit(open[i], 200, tokens.data());
    }
    for (const int sequence : open) cache->Close(sequence);
    EXPECT_LE(cache->prefix_nodes(), 3u) << round;
  }
}

}  // namespace
}  // namespace lull
