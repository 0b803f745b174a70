#include "cache/kv_cache.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace lull
