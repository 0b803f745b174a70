#include <chrono>
#include <mutex>
#include <utility>

#include "base/os/os.h"
#include "engine/model_rep.h"
#include "formats/file_kind.h"
#include "formats/gguf.h"

namespace lull {
namespace {

constexpr char kTemplateKey[] = "tokenizer.chat_template";

// What the metadata says, for a model without weights.
ModelInfo InfoOfMetadata(const GgufFile& file) {
  ModelInfo info;
  info.path = file.path();
  info.file_bytes = static_cast<int64_t>(file.file_bytes());
  const Result<std::string_view> name = file.GetString("general.name");
  info.name = name.ok() ? std::string(*name) : file.path().substr(file.path().rfind('/') + 1);
  const Result<std::string_view> architecture = file.GetString("general.architecture");
  if (!architecture.ok()) return info;
  info.architecture = *architecture;
  const Result<uint64_t> context = file.GetUint(info.architecture + ".context_length");
  if (context.ok()) info.context_tokens = static_cast<int64_t>(*context);
  return info;
}

// Of a vocabulary entry: text, merges and the tables that find them. Below 20 were measured with
// 262,144 of them, which share their file's pages.
constexpr int64_t kVocabularyBytesPerToken = 64;
// The same once grammars are used: a tree over the tokens' bytes, and what they do in a string.
constexpr int64_t kTreeBytesPerToken = 64;
constexpr int64_t kFewGrammarsBytes = 2 << 20;

// Refuses what the budget cannot hold or compute, before weights are read.
Status Approve(const ModelInfo& info, Runtime::Rep* runtime, Model::Rep* rep) {
  LULL_ASSIGN_OR_RETURN(rep->cost, runtime->Admit(info));
  MemoryBook& memory = runtime->memory;
  const int64_t vocabulary = info.vocab_size * kVocabularyBytesPerToken;
  const std::string hint = RamText(memory.ledger().planned_bytes + vocabulary + info.weight_bytes) +
                           " holds it, without activations and KV, which come on top";
  LULL_ASSIGN_OR_RETURN(rep->vocabulary_memory,
                        memory.Promise(MemoryPart::kOther, vocabulary, 0, hint));
  const MemoryPart part = info.mapped_pack ? MemoryPart::kWeights : MemoryPart::kPacked;
  LULL_ASSIGN_OR_RETURN(rep->weight_memory, memory.Promise(part, info.weight_bytes, 0, hint));
  return Status();
}

std::string TokenTextOr(const Tokenizer& tokenizer, int32_t token) {
  return token < 0 ? std::string() : tokenizer.TokenText(token);
}

}  // namespace

void LoadTemplate(const GgufFile& file, const ExecContext& ctx, Model::Rep* rep) {
  rep->has_chat_template = file.Has(kTemplateKey);
  if (!rep->has_chat_template) {
    rep->chat_status = {ErrorCode::kUnsupported, "the model file has no chat template",
                        file.path() + ": " + kTemplateKey,
                        "give it a plain prompt: `lull run MODEL --raw -- PROMPT`"};
    return;
  }
  const Result<std::string_view> source = file.GetString(kTemplateKey);
  if (!source.ok()) {
    rep->chat_status = source.status();
    return;
  }
  rep->chat_template_text = *source;
  Result<std::unique_ptr<ChatTemplate>> parsed = ChatTemplate::Parse(std::string(*source), {}, ctx);
  if (parsed.ok()) {
    rep->chat_template = std::move(*parsed);
  } else {
    rep->chat_status = parsed.status();
  }
}

int64_t SystemUnixTimeS() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

int64_t LeastGrammarBytes(const ModelInfo& info) {
  return info.vocab_size * kTreeBytesPerToken + grammar::TokenVocabulary::kMaxMaskBytes +
         kFewGrammarsBytes;
}

Status Model::Rep::AdmitGrammars() {
  if (runtime == nullptr) return Status();
  std::lock_guard<std::mutex> lock(grammar_mutex);
  if (grammar_memory.bytes() > 0) return Status();
  const int64_t least = LeastGrammarBytes(info);
  const int64_t more = std::clamp<int64_t>(
      runtime->memory.left() - least, 0, grammar::ConstraintFactory::kMaxBytes - kFewGrammarsBytes);
  LULL_ASSIGN_OR_RETURN(grammar_memory, runtime->memory.Promise(MemoryPart::kOther, least + more));
  constraints->SetMaxBytes(kFewGrammarsBytes + more);
  return Status();
}

Result<std::unique_ptr<Model>> Model::Rep::Load(const std::string& path, Runtime::Rep* runtime,
                                                const LoadOptions& options, UnixClock now_unix_s) {
  const int64_t begin_ns = os::MonotonicNs();
  auto rep = std::make_unique<Rep>();
  rep->runtime = runtime;
  const ExecContext ctx = rep->TextContext();
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(path, ctx));
  if (runtime != nullptr) {
    const Status is_model = CheckIsModel(*file);
    if (!is_model.ok()) return file->Locate(is_model.error());
  }
  rep->now_unix_s = std::move(now_unix_s);
  Result<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Create(*file, ctx);
  if (!tokenizer.ok()) return file->Locate(tokenizer.error());
  rep->tokenizer = std::move(*tokenizer);
  rep->constraints = std::make_unique<grammar::ConstraintFactory>(*rep->tokenizer);
  LoadTemplate(*file, ctx, rep.get());
  if (runtime == nullptr) {
    rep->info = InfoOfMetadata(*file);
    rep->info.vocab_size = rep->tokenizer->vocab_size();
  } else {
    std::unique_lock<FairMutex> lock(runtime->compute);
    LoadedModel::Hooks hooks;
    hooks.approve = [&](const ModelInfo& info) { return Approve(info, runtime, rep.get()); };
    hooks.give_way = [&] {  // other models go on answering
      lock.unlock();
      lock.lock();
    };
    Result<std::unique_ptr<LoadedModel>> loaded = LoadedModel::Load(
        runtime->Context(), *file, options.use_pack ? PackUse::kPrefer : PackUse::kIgnore, hooks);
    if (loaded.status().code() == ErrorCode::kBudgetImpossible) return loaded.error();
    if (!loaded.ok()) return file->Locate(loaded.error());
    rep->loaded = std::move(*loaded);
    rep->info = rep->loaded->info();
  }
  rep->info.load_s = static_cast<double>(os::MonotonicNs() - begin_ns) * 1e-9;
  return std::unique_ptr<Model>(new Model(std::move(rep)));
}

Result<std::unique_ptr<Model>> Model::Load(const std::string& path, Runtime& runtime,
                                           const LoadOptions& options) {
  return Rep::Load(path, &runtime.rep(), options);
}

Result<std::unique_ptr<Model>> LoadVocabularyOnly(const std::string& path) {
  return Model::Rep::Load(path, nullptr);
}

Model::Model(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Model::~Model() = default;

const ModelInfo& Model::info() const { return rep_->info; }

Result<std::vector<int32_t>> Model::Tokenize(std::string_view text,
                                             const TokenizeOptions& options) const {
  return rep_->tokenizer->Encode(rep_->TextContext(), text, options);
}

Result<std::vector<int32_t>> Model::TokenizePrompt(std::string_view text) const {
  LULL_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, Tokenize(text, {}));
  const int32_t bos = bos_token();
  if (adds_bos() && bos >= 0 && (tokens.empty() || tokens[0] != bos))
    tokens.insert(tokens.begin(), bos);
  if (tokens.empty())
    return Status(ErrorCode::kUsage, "the prompt is empty", "prompt", "give some text");
  return tokens;
}

std::string Model::Detokenize(const std::vector<int32_t>& tokens, bool special) const {
  return rep_->tokenizer->Decode(rep_->TextContext(), tokens, special);
}

std::unique_ptr<TextStream> Model::NewTextStream(bool special) const {
  return rep_->tokenizer->NewTextStream(special);
}

bool Model::IsEndOfGeneration(int32_t token) const {
  return rep_->tokenizer->IsEndOfGeneration(token);
}

bool Model::adds_bos() const { return rep_->tokenizer->adds_bos(); }
int32_t Model::bos_token() const { return rep_->tokenizer->bos_token(); }
bool Model::has_chat_template() const { return rep_->has_chat_template; }
const std::string& Model::chat_template() const { return rep_->chat_template_text; }

Result<std::string> Model::RenderChat(const std::string& messages_json,
                                      const std::string& extra_json,
                                      bool add_generation_prompt) const {
  if (rep_->chat_template == nullptr) return rep_->chat_status.error();
  TemplateInput input;
  input.messages_json = messages_json;
  input.extra_json = extra_json;
  input.add_generation_prompt = add_generation_prompt;
  input.bos_token = TokenTextOr(*rep_->tokenizer, rep_->tokenizer->bos_token());
  input.eos_token = TokenTextOr(*rep_->tokenizer, rep_->tokenizer->eos_token());
  input.now_unix_s = rep_->now_unix_s();
  return rep_->chat_template->Render(input, rep_->TextContext());
}

Result<std::shared_ptr<TokenConstraint>> Model::NewConstraint(const GrammarSpec& spec) const {
  LULL_RETURN_IF_ERROR(rep_->AdmitGrammars());
  return rep_->constraints->New(spec, rep_->TextContext());
}

}  // namespace lull
