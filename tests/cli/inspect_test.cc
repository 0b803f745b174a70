// What `lull inspect` says of files that Lull runs and of those it does not: the very error of
// `lull run`, and for each that docs/support.md quotes it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "quantize/importance.h"
#include "tests/cli/lull_process.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

using Json = nlohmann::json;

struct Refusal {
  const char* name;
  const char* arch;
  std::function<void(GgufWriter*)> edit;
  const char* code;
  const char* message;  // which docs/support.md quotes
};

void SetType(GgufWriter* writer, const char* tensor, uint32_t type_id) {
  for (const GgufWriter::TensorInfo& info : writer->Tensors()) {
    if (info.name != tensor) continue;
    const uint64_t bytes = GgufRowBytes(type_id, info.dims[0]).value() * info.dims[1];
    writer->RemoveTensor(tensor);
    writer->AddTensor(tensor, type_id, info.dims, std::vector<uint8_t>(bytes));
    return;
  }
}

void RemoveTensors(GgufWriter* writer) {
  for (const GgufWriter::TensorInfo& info : writer->Tensors()) writer->RemoveTensor(info.name);
}

constexpr uint32_t kIq2Xs = 17;

const Refusal kRefusals[] = {
    {"Bert", "llama", [](GgufWriter* w) { w->AddString("general.architecture", "bert"); },
     "unsupported", "the architecture \"bert\" is not supported"},
    {"Type", "llama", [](GgufWriter* w) { SetType(w, "blk.0.attn_q.weight", kIq2Xs); },
     "unsupported", "the tensor blk.0.attn_q.weight has type IQ2_XS (17), which is not supported"},
    {"ExpertGroups", "deepseek2",
     [](GgufWriter* w) { w->AddUint32("deepseek2.expert_group_count", 8); }, "unsupported",
     "8 groups of experts are not supported, only one"},
    {"Bidirectional", "llama", [](GgufWriter* w) { w->AddBool("llama.attention.causal", false); },
     "unsupported",
     "llama.attention.causal = false is not implemented for llama and may change the model's "
     "numbers; only 1 is accepted"},
    {"UnknownKey", "llama", [](GgufWriter* w) { w->AddFloat32("llama.attention.new_thing", 2.0f); },
     "unsupported",
     "llama.attention.new_thing = 2 is not implemented for llama and may change the model's "
     "numbers"},
    {"Drafting", "llama", [](GgufWriter* w) { w->AddUint32("llama.nextn_predict_layers", 1); },
     "unsupported",
     "llama.nextn_predict_layers = 1 is not implemented for llama and may change the model's "
     "numbers; only 0 is accepted"},
    {"RotaryScaling", "llama", [](GgufWriter* w) { w->AddString("llama.rope.scaling.type", "su"); },
     "unsupported",
     "rotary scaling \"su\" is not implemented (llama.rope.scaling.type); none, linear, yarn and "
     "longrope are, and Llama 3 frequency factors"},
    {"OtherTensors", "llama",
     [](GgufWriter* w) {
       w->AddTensor("blk.0.cross_attn_q.weight", 0, {1}, std::vector<uint8_t>(4));
     },
     "unsupported",
     "the tensor blk.0.cross_attn_q.weight is not one that llama models of this configuration "
     "have here"},
    {"MissingTensor", "llama", [](GgufWriter* w) { w->RemoveTensor("output_norm.weight"); },
     "invalid_model", "the tensor output_norm.weight is missing"},
    {"Tokenizer", "llama", [](GgufWriter* w) { w->AddString("tokenizer.ggml.model", "rwkv"); },
     "unsupported", "unknown tokenizer model 'rwkv'"},
    {"Pretokenizer", "llama", [](GgufWriter* w) { w->AddString("tokenizer.ggml.pre", "new-one"); },
     "unsupported", "unknown pre-tokenizer 'new-one'"},
    {"NoTokenizer", "llama", [](GgufWriter* w) { w->RemoveKey("tokenizer.ggml.model"); },
     "invalid_model", "the file has no tokenizer"},
    {"Vocabulary", "llama", RemoveTensors, "invalid_model",
     "the file has no tensors: it is a vocabulary alone"},
    {"Projector", "llama", [](GgufWriter* w) { w->AddString("general.type", "mmproj"); },
     "unsupported", "the file is a 'mmproj', not a model"},
};

std::string SupportPage() {
  std::ifstream file(LULL_SOURCE_DIR "/docs/support.md");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class InspectTest : public testing::Test {
 protected:
  std::string Write(const std::string& arch, const std::function<void(GgufWriter*)>& edit) {
    TinyModelSpec spec;
    spec.arch = arch;
    spec.embd = 256;
    GgufWriter writer;
    writer.set_durable(false);
    EXPECT_TRUE(BuildTinyModel(spec, &writer).ok());
    if (edit) edit(&writer);
    const std::string path = directory_.File("model.gguf");
    EXPECT_TRUE(writer.Write(path).ok());
    return path;
  }
  static Json Inspect(const std::string& path) {
    const Output output = RunLull("inspect '" + path + "' --json");
    EXPECT_EQ(output.exit_code, 0) << output.text;
    return output.json();
  }
  static Json RunError(const std::string& path) {
    return RunLull("run '" + path + "' --raw --json -n 1 -- abc").json()["error"];
  }
  TemporaryDirectory directory_;
};

TEST_F(InspectTest, RefusalsAreThoseOfRunAndAreDocumented) {
  const std::string page = SupportPage();
  for (const Refusal& refusal : kRefusals) {
    SCOPED_TRACE(refusal.name);
    const std::string path = Write(refusal.arch, refusal.edit);
    const Json said = Inspect(path);
    EXPECT_EQ(said["runs"], false);
    EXPECT_EQ(said["error"]["code"], refusal.code);
    EXPECT_EQ(said["error"]["message"], refusal.message);
    EXPECT_EQ(said["error"], RunError(path));
    EXPECT_NE(page.find(refusal.message), std::string::npos) << "docs/support.md does not quote it";
  }
}

TEST_F(InspectTest, ASupportedFile) {
  const Json said = Inspect(Write("gemma3", nullptr));
  EXPECT_EQ(said["kind"], "model");
  EXPECT_EQ(said["runs"], true) << said["error"];
  EXPECT_TRUE(said["error"].is_null());
  EXPECT_TRUE(said["chat_template"].is_null());
  const Json& plan = said["plan"];
  ASSERT_EQ(plan["layers"].size(), 2u) << plan;
  EXPECT_EQ(plan["layers"][0]["mixer"], "attention");
  EXPECT_EQ(plan["layers"][0]["window"], 16);
  EXPECT_EQ(plan["layers"][1]["window"], 0);
  for (const char* field : {"parameters", "weight_bytes", "active_bytes_per_token",
                            "macs_per_token", "kv_bytes_per_token", "kv_bytes_per_sequence"})
    EXPECT_GT(plan[field].get<int64_t>(), 0) << field;
  ASSERT_FALSE(said["types"].empty());
  EXPECT_EQ(said["types"][0]["type"], "F32");
  EXPECT_EQ(said["types"][0]["products"], "f32");
}

TEST_F(InspectTest, TypesThatAreNotSupportedStandOut) {
  const std::string path =
      Write("llama", [](GgufWriter* w) { SetType(w, "blk.0.attn_q.weight", kIq2Xs); });
  bool found = false;
  const Json said = Inspect(path);
  for (const Json& type : said["types"]) {
    if (type["type"] != "IQ2_XS") continue;
    found = true;
    EXPECT_TRUE(type["products"].is_null());
  }
  EXPECT_TRUE(found);
  EXPECT_NE(RunLull("inspect '" + path + "'").text.find("Lull does not run this file: the tensor"),
            std::string::npos);
}

TEST_F(InspectTest, AVocabularysTokenizerIsJudged) {
  const std::string text = RunLull("inspect '" + Write("llama", RemoveTensors) + "'").text;
  EXPECT_NE(text.find("tokenizer      gpt2, pre-tokenizer smollm"), std::string::npos) << text;
}

TEST_F(InspectTest, ATemplateThatIsNotUnderstoodIsNoRefusal) {
  const Json said = Inspect(
      Write("llama", [](GgufWriter* w) { w->AddString("tokenizer.chat_template", "{% if %}"); }));
  EXPECT_EQ(said["runs"], true);
  EXPECT_EQ(said["has_chat_template"], true);
  EXPECT_FALSE(said["chat_template"].is_null());
}

TEST_F(InspectTest, AdaptersAndImportanceMatricesAreNamed) {
  const std::string base = Write("llama", nullptr), adapter = directory_.File("adapter.gguf");
  ASSERT_TRUE(WriteTinyAdapter(base, {}, adapter).ok());
  Json said = Inspect(adapter);
  EXPECT_EQ(said["kind"], "adapter");
  EXPECT_EQ(said["error"]["message"], "the file is an adapter, not a model");
  EXPECT_EQ(said["error"], RunError(adapter));
  for (const char* part : {"weights", "tokenizer", "chat_template"})
    EXPECT_TRUE(said[part].is_null()) << part;  // it need not have them

  ImportanceMatrix matrix;
  matrix.tensors["blk.0.attn_q.weight"] = {{1.0f, 2.0f}, {3.0f}};
  matrix.chunks = 1;
  const std::string path = directory_.File("imatrix.gguf");
  ASSERT_TRUE(matrix.Write(path, /*durable=*/false).ok());
  said = Inspect(path);
  EXPECT_EQ(said["kind"], "importance matrix");
  EXPECT_EQ(said["error"]["message"], "the file is an importance matrix, not a model");
  EXPECT_EQ(said["error"], RunError(path));
  const std::string page = SupportPage();
  for (const char* message :
       {"the file is an adapter, not a model", "the file is an importance matrix, not a model"})
    EXPECT_NE(page.find(message), std::string::npos);
}

TEST_F(InspectTest, BigEndianFilesAreRefused) {
  const std::string path = Write("llama", nullptr);
  std::string bytes = ReadFileBytes(path);
  std::swap(bytes[4], bytes[7]);
  WriteFileBytes(path, bytes);
  const Json error = RunLull("inspect '" + path + "' --json").json()["error"];
  EXPECT_EQ(error["message"], "GGUF version 3 in big-endian byte order is not supported");
  EXPECT_NE(SupportPage().find(error["message"]), std::string::npos);
}

TEST_F(InspectTest, SupportListsTheRegistries) {
  const Json support = RunLull("inspect --support --json").json();
  EXPECT_GE(support["architectures"].size(), 24u);
  EXPECT_GE(support["types"].size(), 20u);
  EXPECT_TRUE(support["gpus"].empty());
  EXPECT_EQ(RunLull("inspect --json").json()["error"]["code"], "usage");
  EXPECT_EQ(RunLull("inspect x.gguf --support").exit_code, 2);
}

}  // namespace
}  // namespace lull
