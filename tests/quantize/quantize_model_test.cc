// Whole files: what is quantised comes out as QuantizeRows has it, whatever the threads; all else
// is kept byte for byte; and what cannot be done is refused by name and leaves nothing behind.
#include "quantize/quantize_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <sstream>

#include "base/thread_pool.h"
#include "formats/file_type.h"
#include "formats/gguf_writer.h"
#include "quantize/quantize.h"
#include "tests/support/random_weights.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

std::vector<uint8_t> BytesOf(const std::vector<float>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(float));
  memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

class QuantizeModel : public ::testing::Test {
 protected:
  std::unique_ptr<GgufFile> Open(const std::string& name) const {
    auto file = GgufFile::Open(directory_.File(name));
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    return file.ok() ? std::move(*file) : nullptr;
  }
  std::unique_ptr<GgufFile> Write(GgufWriter& writer) const {
    writer.set_durable(false);
    const Status written = writer.Write(directory_.File("in.gguf"));
    EXPECT_TRUE(written.ok()) << written.ToString();
    return Open("in.gguf");
  }
  std::unique_ptr<GgufFile> Tiny(const TinyModelSpec& spec) const {
    GgufWriter writer;
    EXPECT_TRUE(BuildTinyModel(spec, &writer).ok());
    return Write(writer);
  }
  // A matrix and three experts, of rows that every type's blocks divide.
  std::unique_ptr<GgufFile> Matrices() const {
    GgufWriter writer;
    writer.AddTensor("blk.0.ffn_up.weight", 0, {256, 43}, RandomF32Rows(256, -1, 1, 1));
    writer.AddTensor("blk.0.ffn_up_exps.weight", 0, {256, 21, 3}, RandomF32Rows(256, -1, 1, 2));
    return Write(writer);
  }
  Status Quantize(const GgufFile& file, QuantizeOptions options,
                  const ExecContext& ctx = ExecContext(),
                  const std::string& out = "out.gguf") const {
    options.durable = false;
    const Result<QuantizePlan> plan = PlanQuantize(file, options);
    if (!plan.ok()) return plan.status();
    return WriteQuantized(ctx, file, *plan, options, directory_.File(out));
  }
  static QuantizeOptions To(const std::string& type) {
    QuantizeOptions options;
    options.types.type = type;
    return options;
  }
  TemporaryDirectory directory_;
};

std::vector<float> Widened(const GgufTensor& tensor) {
  const QuantFormat& format = *FindQuantFormat(tensor.type_id);
  const size_t k = tensor.dims[0], row_bytes = k / format.block_k * format.file_block_bytes;
  const size_t rows = tensor.data.size() / row_bytes;
  std::vector<uint8_t> group(format.GroupBytes(k));
  std::vector<float> floats(rows * k);
  for (size_t r = 0; r < rows; ++r) {
    format.repack_group(tensor.data.data() + r * row_bytes, 1, k, group.data());
    format.dequantize_row(group.data(), 0, k, &floats[r * k]);
  }
  return floats;
}

TEST_F(QuantizeModel, KeepsKeysAndWhatIsNotQuantisedByteForByte) {
  GgufWriter writer;
  ASSERT_TRUE(BuildTinyModel({}, &writer).ok());
  writer.AddBool("x.bool", true);
  writer.AddFloat64("x.float64", 1.25);
  writer.AddInt16Array("x.shorts", std::vector<int16_t>{-3, 4});
  writer.AddStringArray("x.empty", {});
  writer.AddBoolArray("x.bools", {true, false, true});
  writer.AddUint32("general.file_type", 0);
  writer.set_alignment(128);
  const auto file = Write(writer);
  ASSERT_TRUE(Quantize(*file, To("q4_0")).ok());
  const auto result = Open("out.gguf");
  std::vector<std::string> keys = file->Keys();
  keys.push_back("general.quantization_version");
  if (file->Has("general.quantization_version")) keys.pop_back();
  EXPECT_EQ(result->Keys(), keys);
  for (const std::string& key : file->Keys()) {
    if (key == "general.file_type") continue;
    EXPECT_EQ(result->TypeOf(key), file->TypeOf(key)) << key;
    EXPECT_EQ(result->RawValue(key), file->RawValue(key)) << key;
  }
  EXPECT_EQ(result->GetUint("general.file_type").value(), 2u);
  EXPECT_EQ(result->GetUint("general.quantization_version").value(), 2u);
  size_t kept = 0;
  ASSERT_EQ(result->tensors().size(), file->tensors().size());
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    const GgufTensor &from = file->tensors()[i], &to = result->tensors()[i];
    EXPECT_EQ(to.name, from.name);
    EXPECT_EQ(to.dims, from.dims);
    const bool vector = from.dims.size() == 1;
    EXPECT_EQ(to.type_id == from.type_id, vector) << from.name;
    if (!vector) continue;
    ++kept;
    EXPECT_TRUE(std::ranges::equal(to.data, from.data)) << from.name;
  }
  EXPECT_GT(kept, 4u);
}

// What QuantizeRows makes of all rows at once, row by row of each slice.
TEST_F(QuantizeModel, EveryTypeHasTheBlocksOfQuantizeRows) {
  const auto file = Matrices();
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  for (size_t i = 0; i < count; ++i) {
    const QuantFormat& format = *formats[i];
    SCOPED_TRACE(format.name);
    QuantizeOptions options = To(format.name);
    options.types.pure = true;
    ASSERT_TRUE(Quantize(*file, options).ok());
    const auto result = Open("out.gguf");
    for (const GgufTensor& tensor : file->tensors()) {
      const GgufTensor& got = *result->FindTensor(tensor.name);
      ASSERT_EQ(got.type_id, format.gguf_type_id) << tensor.name;
      const std::vector<float> floats = Widened(tensor);
      std::vector<uint8_t> want(floats.size() / format.block_k * format.file_block_bytes);
      ASSERT_TRUE(QuantizeRows(format, floats, tensor.dims[0], {}, want).ok());
      EXPECT_TRUE(std::ranges::equal(got.data, want)) << tensor.name;
    }
    // And back: floats of whatever type there is.
    ASSERT_TRUE(Quantize(*result, To("F32"), ExecContext(), "back.gguf").ok());
    const auto back = Open("back.gguf");
    const GgufTensor& narrow = *result->FindTensor("blk.0.ffn_up.weight");
    EXPECT_EQ(Widened(*back->FindTensor("blk.0.ffn_up.weight")), Widened(narrow));
  }
}

TEST_F(QuantizeModel, SameBytesForAnyThreads) {
  const auto file = Matrices();
  ImportanceMatrix importances;
  for (const GgufTensor& tensor : file->tensors()) {
    Importance& entry = importances.tensors[tensor.name];
    const size_t slices = tensor.dims.size() == 3 ? tensor.dims[2] : 1;
    for (size_t i = 0; i < tensor.dims[0] * slices; ++i)
      entry.sums.push_back(static_cast<float>(1 + i * i % 7));
    entry.counts.assign(slices, 3.0f);
  }
  QuantizeOptions options = To("Q4_K_M");
  options.importances = &importances;
  ASSERT_TRUE(Quantize(*file, options).ok());
  const std::string want = ReadFileBytes(directory_.File("out.gguf"));
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    ExecContext ctx;
    ctx.pool = &pool;
    ASSERT_TRUE(Quantize(*file, options, ctx, "again.gguf").ok());
    EXPECT_EQ(ReadFileBytes(directory_.File("again.gguf")), want) << threads;
  }
  options.importances = nullptr;
  ASSERT_TRUE(Quantize(*file, options, ExecContext(), "plain.gguf").ok());
  const std::string plain = ReadFileBytes(directory_.File("plain.gguf"));
  EXPECT_NE(plain.substr(plain.size() - 3000), want.substr(want.size() - 3000));  // experts' blocks
}

TEST_F(QuantizeModel, EachExpertHasItsOwnImportances) {
  constexpr size_t kK = 32;
  std::vector<float> row(kK), sums(3 * kK, 1.0f);
  for (size_t i = 0; i < kK; ++i) row[i] = std::sin(static_cast<float>(i * i));
  std::vector<float> weights;
  for (int i = 0; i < 3; ++i) weights.insert(weights.end(), row.begin(), row.end());
  sums[kK + 5] = 1000.0f;  // of the second expert
  GgufWriter writer;
  writer.AddTensor("blk.0.ffn_up_exps.weight", 0, {kK, 1, 3}, BytesOf(weights));
  const auto file = Write(writer);
  ImportanceMatrix importances;
  importances.tensors["blk.0.ffn_up_exps.weight"] = {sums, {2.0f, 2.0f, 0.0f}};
  QuantizeOptions options = To("Q4_0");
  options.importances = &importances;
  ASSERT_TRUE(Quantize(*file, options).ok());
  const auto result = Open("out.gguf");
  const std::vector<float> got = Widened(result->tensors()[0]);
  const auto error = [&](size_t expert) { return std::fabs(got[expert * kK + 5] - row[5]); };
  EXPECT_LT(error(1), error(0));
  EXPECT_EQ(error(0), error(2));  // no row went through the third: as if all counted alike
}

// Names and shapes alone.
class Rules : public QuantizeModel {
 protected:
  static constexpr int kLayers = 16;
  std::unique_ptr<GgufFile> Shapes(uint64_t k, bool tied, uint32_t type = 0) {
    GgufWriter writer;
    const auto add = [&](const std::string& name, std::vector<uint64_t> dims) {
      uint64_t bytes = GgufRowBytes(type, dims[0]).value();
      for (size_t i = 1; i < dims.size(); ++i) bytes *= dims[i];
      writer.AddTensor(name, type, dims, std::vector<uint8_t>(bytes));
    };
    add("token_embd.weight", {k, 2});
    if (!tied) add("output.weight", {k, 2});
    for (int i = 0; i < kLayers; ++i)
      for (const char* name : {"attn_q", "attn_v", "attn_output", "ffn_down", "ffn_gate_inp",
                               "attn_norm", "ssm_conv1d", "attn_q_norm"})
        add("blk." + std::to_string(i) + "." + name + ".weight", {k, 2});
    return Write(writer);
  }
  // Names of the types by tensor.
  static std::map<std::string, std::string> Types(const GgufFile& file, const TypeRules& rules) {
    const Result<TypeChoices> choices = ChooseTypes(file, rules);
    EXPECT_TRUE(choices.ok()) << choices.status().ToString();
    std::map<std::string, std::string> types;
    if (!choices.ok()) return types;
    for (const TensorChoice& choice : choices->tensors)
      types[choice.tensor->name] =
          choice.format == nullptr ? GgufTypeName(choice.tensor->type_id) : choice.format->name;
    return types;
  }
};

TEST_F(Rules, MixesGiveSomeLayersMore) {
  const auto file = Shapes(256, /*tied=*/false);
  auto types = Types(*file, {.type = "Q4_K"});  // means Q4_K_M
  std::string down, value;
  for (int i = 0; i < kLayers; ++i) {
    const std::string layer = "blk." + std::to_string(i);
    down += types[layer + ".ffn_down.weight"][1];
    value += types[layer + ".attn_v.weight"][1];
    EXPECT_EQ(types[layer + ".attn_q.weight"], "Q4_K");
    for (const char* kept : {".ffn_gate_inp", ".attn_norm", ".ssm_conv1d", ".attn_q_norm"})
      EXPECT_EQ(types[layer + kept + ".weight"], "F32");
  }
  EXPECT_EQ(down, "6644644644644666");
  EXPECT_EQ(value, down);
  EXPECT_EQ(types["output.weight"], "Q6_K");
  EXPECT_EQ(types["token_embd.weight"], "Q4_K");
  const TypeChoices mix = ChooseTypes(*file, {.type = "q4_k"}).value();
  EXPECT_EQ(mix.file_type, 15u);
  // Every mix is a type of files: no other has number 0.
  std::istringstream names(TypeMixNames());
  for (std::string name; std::getline(names >> std::ws, name, ',');)
    EXPECT_TRUE(FindFileType(name).has_value()) << name;
  types = Types(*file, {.type = "Q4_K_S"});
  EXPECT_EQ(types["blk.1.ffn_down.weight"], "Q5_K");
  EXPECT_EQ(types["blk.2.ffn_down.weight"], "Q4_K");
  types = Types(*file, {.type = "Q3_K_M"});
  EXPECT_EQ(types["blk.0.attn_output.weight"], "Q4_K");
  EXPECT_EQ(types["blk.0.ffn_down.weight"], "Q5_K");
  EXPECT_EQ(types["blk.0.attn_q.weight"], "Q3_K");
  types = Types(*file, {.type = "Q4_K_M", .pure = true});
  EXPECT_EQ(types["output.weight"], "Q4_K");
  EXPECT_EQ(types["blk.0.ffn_down.weight"], "Q4_K");
}

TEST_F(Rules, RowsThatDoNotDivideTakeAnotherType) {
  const auto file = Shapes(96, /*tied=*/true);
  EXPECT_EQ(Types(*file, {.type = "Q4_K"})["blk.3.attn_q.weight"], "Q5_0");
  EXPECT_EQ(Types(*file, {.type = "Q2_K"})["blk.3.attn_q.weight"], "IQ4_NL");
  EXPECT_EQ(Types(*file, {.type = "Q6_K"})["token_embd.weight"], "Q8_0");
  EXPECT_EQ(Types(*file, {.type = "Q1_0"})["blk.3.attn_q.weight"], "Q4_0");
  const auto odd = Shapes(40, /*tied=*/true);
  EXPECT_EQ(Types(*odd, {.type = "Q4_K"})["blk.3.attn_q.weight"], "F16");
  EXPECT_EQ(Types(*odd, {.type = "Q8_0"})["blk.3.attn_q.weight"], "F16");
  const auto choices = ChooseTypes(*file, {.type = "Q4_K"});
  EXPECT_NE(choices->tensors[2].note.find("256"), std::string::npos);
}

TEST_F(Rules, NamesDecideFirst) {
  const auto file = Shapes(256, /*tied=*/false);
  auto types = Types(
      *file,
      {.type = "Q4_0",
       .output_type = "q8_0",
       .embedding_type = "F16",
       .for_names = {{"blk\\.[0-2]\\..*down", "q6_k"}, {"output", "F32"}, {"attn_norm", "Q4_0"}}});
  EXPECT_EQ(types["blk.2.ffn_down.weight"], "Q6_K");
  EXPECT_EQ(types["blk.3.ffn_down.weight"], "Q4_0");
  EXPECT_EQ(types["output.weight"], "F32");
  EXPECT_EQ(types["token_embd.weight"], "F16");
  EXPECT_EQ(types["blk.3.attn_norm.weight"], "F32");  // never, and the note says so
  EXPECT_EQ(ChooseTypes(*file, {.type = "Q4_0", .for_names = {{"(", "F16"}}}).status().code(),
            ErrorCode::kUsage);
  EXPECT_EQ(ChooseTypes(*file, {.type = "Q4_0", .output_type = "Q4_9"}).status().code(),
            ErrorCode::kUsage);
  const auto unmatched = ChooseTypes(*file, {.type = "Q4_0", .for_names = {{"ffn_dwn", "F16"}}});
  EXPECT_EQ(unmatched.status().code(), ErrorCode::kUsage);
  EXPECT_NE(unmatched.error().message.find("ffn_dwn"), std::string::npos);
  // One that comes too late fits all the same.
  EXPECT_TRUE(
      ChooseTypes(*file, {.type = "Q4_0", .for_names = {{"ffn", "F16"}, {"ffn_down", "F32"}}})
          .ok());
  const auto unknown = ChooseTypes(*file, {.type = "IQ1_S"});
  EXPECT_EQ(unknown.status().code(), ErrorCode::kUsage);
  EXPECT_NE(unknown.error().hint.find("Q4_K_M"), std::string::npos);
}

TEST_F(Rules, AMixAddsNothingThatTheSourceHasNot) {
  const auto file = Shapes(256, /*tied=*/false, FindQuantFormatByName("Q5_K")->gguf_type_id);
  auto types = Types(*file, {.type = "Q4_K_M"});
  EXPECT_EQ(types["output.weight"], "Q4_K");
  EXPECT_EQ(types["blk.0.ffn_down.weight"], "Q4_K");
  EXPECT_EQ(Types(*file, {.type = "Q8_0"})["output.weight"], "Q8_0");  // what was asked for
  const auto narrow = Shapes(96, /*tied=*/true, FindQuantFormatByName("Q4_1")->gguf_type_id);
  types = Types(*narrow, {.type = "Q4_K_M"});
  EXPECT_EQ(types["blk.0.attn_q.weight"], "Q4_1");  // not the Q5_0 that Q4_K gives way to
  EXPECT_EQ(types["token_embd.weight"], "Q4_1");
  EXPECT_EQ(Types(*narrow, {.type = "Q2_K"})["blk.9.attn_q.weight"], "IQ4_NL");
}

TEST_F(QuantizeModel, SourcesThatCannotBeReadAreNamed) {
  GgufWriter writer;
  writer.AddTensor("blk.0.ffn_up.weight", 16, {256, 2}, std::vector<uint8_t>(2 * 66));
  const auto file = Write(writer);
  const Status status = Quantize(*file, To("Q4_0"));
  EXPECT_EQ(status.code(), ErrorCode::kUnsupported);
  EXPECT_EQ(status.error().where, "blk.0.ffn_up.weight");
}

TEST_F(QuantizeModel, AWeightThatIsNotFiniteIsNamedAndLeavesNothing) {
  std::vector<float> weights(64 * 32, 0.5f);
  weights[40 * 32 + 3] = std::numeric_limits<float>::quiet_NaN();
  weights[50 * 32] = std::numeric_limits<float>::infinity();
  GgufWriter writer;
  writer.AddTensor("blk.0.ffn_up.weight", 0, {32, 64}, BytesOf(weights));
  const auto file = Write(writer);
  ThreadPool pool(3);
  ExecContext ctx;
  ctx.pool = &pool;
  for (int i = 0; i < 5; ++i) {
    const Status status = Quantize(*file, To("Q8_0"), ctx);
    EXPECT_EQ(status.code(), ErrorCode::kInvalidModel);
    EXPECT_EQ(status.error().where, "blk.0.ffn_up.weight: row 40");
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.File("")), {}), 1);  // the source
}

TEST_F(QuantizeModel, GivingUpAndCancellingLeaveNothing) {
  const auto file = Tiny({});
  QuantizeOptions options = To("Q4_0");
  options.progress = [](uint64_t done, uint64_t total) { return done < total / 2; };
  EXPECT_EQ(Quantize(*file, options).code(), ErrorCode::kCancelled);
  const std::atomic<bool> cancelled{true};
  EXPECT_EQ(Quantize(*file, To("Q4_0"), {nullptr, nullptr, &cancelled}).code(),
            ErrorCode::kCancelled);
  EXPECT_EQ(Quantize(*file, To("Q4_0"), ExecContext(), "none/out.gguf").code(), ErrorCode::kIo);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.File("")), {}), 1);
}

TEST_F(QuantizeModel, ASplitModelBecomesOneFile) {
  GgufWriter writer;
  ASSERT_TRUE(BuildTinyModel({}, &writer).ok());
  writer.set_durable(false);
  ASSERT_TRUE(writer.WriteSplit(directory_.File("s"), 3).ok());
  ASSERT_TRUE(Quantize(*Open("s-00001-of-00003.gguf"), To("Q8_0")).ok());
  ASSERT_TRUE(Quantize(*Write(writer), To("Q8_0"), ExecContext(), "whole.gguf").ok());
  EXPECT_EQ(ReadFileBytes(directory_.File("out.gguf")),
            ReadFileBytes(directory_.File("whole.gguf")));
}

TEST_F(QuantizeModel, SaysWhereItsImportancesAreFrom) {
  const auto file = Tiny({});
  ImportanceMatrix importances;
  importances.tensors["blk.0.ffn_up.weight"] = {
      std::vector<float>(file->FindTensor("blk.0.ffn_up.weight")->dims[0], 1.0f), {1.0f}};
  importances.datasets = {"a.txt"};
  importances.chunks = 7;
  QuantizeOptions options = To("Q4_0");
  options.importances = &importances;
  options.importances_path = "m.gguf";
  const auto plan = PlanQuantize(*file, options);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->without_importance.size() + 3,
            plan->quantised);  // embedding and head are not told
  ASSERT_TRUE(Quantize(*file, options).ok());
  const auto result = Open("out.gguf");
  EXPECT_EQ(result->GetString("quantize.imatrix.file").value(), "m.gguf");
  EXPECT_EQ(result->GetString("quantize.imatrix.dataset").value(), "a.txt");
  EXPECT_EQ(result->GetUint("quantize.imatrix.entries_count").value(), 1u);
  EXPECT_EQ(result->GetUint("quantize.imatrix.chunks_count").value(), 7u);
  importances.tensors["blk.0.ffn_up.weight"].sums.resize(31, 1.0f);
  const Status other = Quantize(*file, options);
  EXPECT_EQ(other.code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(other.error().where, "blk.0.ffn_up.weight");
}

}  // namespace
}  // namespace lull
