// Attention in blocks of rows: each row has the bits that it has alone, whatever shares its block.
#include "ops/attention.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "tests/support/random_weights.h"

namespace lull {
namespace {

constexpr HeadShape kShape{6, 2, 48};
constexpr size_t kQDim = 6 * 48;
constexpr size_t kMaxQDim = 16 * 256;
constexpr size_t kPages = 5;  // of each sequence
constexpr size_t kMaxRows = 64;

// Pages of three sequences, shuffled in one pool and full of finite values.
class Pool {
 public:
  explicit Pool(KvType type, const HeadShape& shape = kShape, size_t pages = kPages) {
    view_.type = type;
    view_.head_bytes = KvHeadBytes(type, shape.head_dim);
    view_.page_bytes = 2 * shape.num_kv_heads * view_.head_bytes;
    memory_ = os::Memory::Allocate(3 * pages * view_.page_bytes).value();
    view_.base = memory_.data();
    TestRandom random(5);
    std::vector<float> k(shape.head_dim), v(shape.head_dim);
    for (int32_t page = 0; page < static_cast<int32_t>(3 * pages); ++page) {
      tables_[page * 7 % 3].push_back(page);
      for (size_t head = 0; head < shape.num_kv_heads; ++head)
        for (size_t slot = 0; slot < kPageTokens; ++slot) {
          for (float& x : k) x = random.Uniform(-2, 2);
          for (float& x : v) x = random.Uniform(-2, 2);
          BestKernels().kv_write(type, view_.Page(page, head), slot, k.data(), v.data(),
                                 shape.head_dim);
        }
    }
  }
  const KvView& view() const { return view_; }
  // Whoever reads those pages of the sequence reads outside of all memory.
  void Poison(int sequence, size_t pages) {
    for (size_t i = 0; i < pages; ++i) tables_[sequence][i] = -(1 << 30);
  }
  // Of a table that has lost its first pages, as behind a window.
  RowPlace Place(int sequence, int64_t first_page, int64_t position) const {
    return {tables_[sequence].data() + first_page, first_page, position};
  }

 private:
  KvView view_;
  os::Memory memory_;
  std::vector<int32_t> tables_[3];
};

class Computer {
 public:
  explicit Computer(int threads, const HeadShape& shape = kShape)
      : shape_(shape), pool_(threads), scratch_(Sizes(shape)) {
    ctx_.pool = &pool_;
    ArenaPlan plan;
    out_.AddTo(&plan, kMaxRows, kMaxQDim);
    memory_ = plan.Allocate().value();
    EXPECT_TRUE(scratch_.Ensure(threads).ok());
  }
  std::vector<float> Run(const Pool& kv, int64_t window, const std::vector<RowPlace>& rows,
                         const std::vector<int32_t>& source, const float* q) {
    OpEnv env{BestKernels(), scratch_, plan_};
    AttentionOpArgs args;
    args.shape = shape_;
    args.q = q;
    args.scale = 0.2f;
    args.window = window;
    args.kv = kv.view();
    args.out = &out_;
    Attention(ctx_, env, rows, source, args);
    return {out_.f32, out_.f32 + source.size() * shape_.num_heads * shape_.head_dim};
  }

 private:
  static ThreadScratch::Sizes Sizes(const HeadShape& shape) {
    ThreadScratch::Sizes sizes;
    sizes.head_dim = shape.head_dim;
    sizes.heads = shape.num_heads;
    return sizes;
  }
  HeadShape shape_;
  ThreadPool pool_;
  ExecContext ctx_;
  ThreadScratch scratch_;
  TilePlan plan_;
  ActivationBuffer out_;
  os::Memory memory_;
};

TEST(AttentionOp, RowsOfABlockHaveTheBitsTheyHaveAlone) {
  TestRandom random(9);
  std::vector<float> q(kMaxRows * kQDim);
  for (float& x : q) x = random.Uniform(-1, 1);
  for (const KvType type : {KvType::kF16, KvType::kBf16, KvType::kF32, KvType::kI8}) {
    const Pool kv(type);
    for (const int64_t window : {0, 1, 2, 17, 63, 64, 65, 100, 128}) {
      // A long run over a page's end, one row, two, and a run at the beginning.
      const int64_t first = window > 0 && window <= 64 ? 1 : 0;
      std::vector<RowPlace> rows;
      for (int64_t p = 150; p < 150 + 50; ++p) rows.push_back(kv.Place(0, first, p));
      rows.push_back(kv.Place(1, first, 319));
      for (int64_t p = 127; p < 129; ++p) rows.push_back(kv.Place(2, first, p));
      std::vector<int32_t> all(rows.size()), some;
      for (size_t i = 0; i < rows.size(); ++i) {
        all[i] = static_cast<int32_t>(i);
        if (i % 3 == 1) some.push_back(all[i]);
      }
      std::vector<float> want;
      Computer alone(1);
      for (size_t i = 0; i < rows.size(); ++i) {
        const std::vector<float> row = alone.Run(kv, window, {rows[i]}, {0}, q.data() + i * kQDim);
        want.insert(want.end(), row.begin(), row.end());
      }
      for (const int threads : {1, 2, 3, 5}) {
        const std::string what =
            "threads " + std::to_string(threads) + " window " + std::to_string(window);
        Computer together(threads);
        const std::vector<float> got = together.Run(kv, window, rows, all, q.data());
        EXPECT_EQ(memcmp(want.data(), got.data(), want.size() * sizeof(float)), 0) << what;
        const std::vector<float> few = together.Run(kv, window, rows, some, q.data());
        for (size_t i = 0; i < some.size(); ++i)
          EXPECT_EQ(memcmp(want.data() + static_cast<size_t>(some[i]) * kQDim,
                           few.data() + i * kQDim, kQDim * sizeof(float)),
                    0)
              << what << " row " << some[i];
      }
    }
  }
}

// Few rows on several threads: KV heads are cut between pages and handed from thread to thread.
TEST(AttentionOp, CutsBetweenThreadsChangeNoBits) {
  TestRandom random(10);
  std::vector<float> q(3 * kMaxQDim);
  for (float& x : q) x = random.Uniform(-1, 1);
  constexpr size_t kDeep = 24;
  for (const HeadShape& shape : {HeadShape{9, 3, 64}, HeadShape{4, 1, 256}, HeadShape{8, 8, 32},
                                 HeadShape{5, 5, 80}, HeadShape{14, 2, 128}}) {
    for (const KvType type : {KvType::kF16, KvType::kBf16, KvType::kF32, KvType::kI8}) {
      const Pool kv(type, shape, kDeep);
      for (const int64_t window : {0, 500}) {
        const std::vector<RowPlace> rows = {kv.Place(0, 0, 1531), kv.Place(1, 0, 700),
                                            kv.Place(2, 0, 63)};
        for (const std::vector<int32_t>& source :
             {std::vector<int32_t>{0}, std::vector<int32_t>{1, 2}, std::vector<int32_t>{2, 0, 1}}) {
          const std::vector<float> want =
              Computer(1, shape).Run(kv, window, rows, source, q.data());
          for (const int threads : {2, 3, 4, 7, 16}) {
            Computer together(threads, shape);
            for (int round = 0; round < 5; ++round) {
              const std::vector<float> got = together.Run(kv, window, rows, source, q.data());
              ASSERT_EQ(memcmp(want.data(), got.data(), want.size() * sizeof(float)), 0)
                  << "threads " << threads << " window " << window << " dim " << shape.head_dim
                  << " rows " << source.size();
            }
          }
        }
      }
    }
  }
}

TEST(AttentionOp, PagesBeforeTheWindowAreNotRead) {
  TestRandom random(11);
  std::vector<float> q(20 * kQDim);
  for (float& x : q) x = random.Uniform(-1, 1);
  constexpr size_t kDeep = 12;
  const Pool whole(KvType::kF16, kShape, kDeep);
  Pool poisoned(KvType::kF16, kShape, kDeep);
  // The first row sees [301, 700], the last [320, 719]: page 4 is the first.
  poisoned.Poison(0, 4);
  for (const int threads : {1, 2, 3}) {
    for (const size_t count : {1, 2, 20}) {
      std::vector<RowPlace> rows, holed;
      std::vector<int32_t> source;
      for (size_t i = 0; i < count; ++i) {
        rows.push_back(whole.Place(0, 0, 700 + static_cast<int64_t>(i)));
        holed.push_back(poisoned.Place(0, 0, 700 + static_cast<int64_t>(i)));
        source.push_back(static_cast<int32_t>(i));
      }
      Computer computer(threads);
      const std::vector<float> want = computer.Run(whole, 400, rows, source, q.data());
      const std::vector<float> got = computer.Run(poisoned, 400, holed, source, q.data());
      EXPECT_EQ(memcmp(want.data(), got.data(), want.size() * sizeof(float)), 0);
    }
  }
}

}  // namespace
}  // namespace lull
