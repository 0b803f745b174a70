// Answers in the form of Ollama's chat and generate: one JSON object, or one a line.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "service/generation.h"
#include "service/ollama/options.h"

namespace lull {

// A chat or generate request on its way: the model is there, parameters are read.
struct OllamaCall {
  ModelCall call;
  OllamaParams params;
  std::chrono::steady_clock::time_point arrived;
  std::chrono::steady_clock::duration load_time{};  // until the model was there
};

enum class OllamaKind { kChat, kGenerate };

// Parses the body, acquires the model and hands both to handle; sends the error of any of them.
// A body without a prompt loads the model, or with keep_alive 0 unloads it.
using OllamaHandler = Status (*)(OllamaCall& call);
void WithOllamaModel(Service& service, const HttpRequest& request, const ResponderPtr& responder,
                     OllamaKind kind, OllamaHandler handle);

// What the template is told beside the messages; an error where the model cannot do what is asked.
Result<Json> TemplateVariables(const OllamaCall& call);

// Submits the prompt and answers. context: Ollama's token list, extended by the answer; null: none.
Status SubmitOllama(OllamaCall& call, OllamaKind kind, std::vector<int32_t> prompt_tokens,
                    bool show_context);

}  // namespace lull
