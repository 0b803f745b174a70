// What a Model holds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "chat/chat_template.h"
#include "engine/runtime_rep.h"
#include "grammar/constraint_factory.h"
#include "lull/model.h"
#include "model/loaded_model.h"
#include "tokenizer/tokenizer.h"

namespace lull {

using UnixClock = std::function<int64_t()>;  // seconds since 1970, UTC
int64_t SystemUnixTimeS();

// What grammars take of a model's memory, at the least, once the first one is asked for: the tree
// of the vocabulary, masks that all share, and a few small grammars.
int64_t LeastGrammarBytes(const ModelInfo& info);

struct Model::Rep {
  // runtime null: tokenizer and template alone. The runtime outlives the model.
  static Result<std::unique_ptr<Model>> Load(const std::string& path, Runtime::Rep* runtime,
                                             const LoadOptions& options = {},
                                             UnixClock now_unix_s = SystemUnixTimeS);

  // Promises their memory when the first grammar comes, and keeps them within it.
  Status AdmitGrammars();

  ExecContext TextContext() const {
    return runtime == nullptr ? ExecContext{} : runtime->SingleThreaded();
  }

  ModelInfo info;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<grammar::ConstraintFactory> constraints;
  std::unique_ptr<ChatTemplate> chat_template;  // null: see chat_status
  std::string chat_template_text;
  Status chat_status;              // why there is none
  bool has_chat_template = false;  // the file has one, whether it parsed or not
  MemoryPromise weight_memory, vocabulary_memory;
  std::mutex grammar_mutex;
  MemoryPromise grammar_memory;           // guarded by grammar_mutex
  std::shared_ptr<const TokenCost> cost;  // what the budget must allow while the model is loaded
  std::unique_ptr<LoadedModel> loaded;    // null: vocabulary only
  Runtime::Rep* runtime = nullptr;
  UnixClock now_unix_s;
};

// The file's template, or why there is none: no reason to refuse the model, plain prompts still
// work.
void LoadTemplate(const GgufFile& file, const ExecContext& ctx, Model::Rep* rep);

}  // namespace lull
