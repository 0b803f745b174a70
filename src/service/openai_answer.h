// Answers in the form of OpenAI's two completion endpoints, whole or streamed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "service/completion_params.h"
#include "service/generation.h"

namespace lull {

// The text of one choice as it grows, worded for an endpoint. A piece is what a stream's choice
// object holds beside index, logprobs and finish_reason: {"text": ...} or {"delta": {...}}.
class ChoiceText {
 public:
  virtual ~ChoiceText() = default;
  virtual Json Opening() const = 0;  // the piece before any text
  // The pieces that are certain now; Finish: what is left of them.
  virtual std::vector<Json> Push(const std::string& text) = 0;
  virtual std::vector<Json> Finish() { return {}; }
  virtual Json Ending() const = 0;  // the piece beside finish_reason
  virtual Json Whole() const = 0;   // after Finish: {"text": ...} or {"message": {...}}
  virtual std::string FinishReasonFor(FinishReason reason) const {
    return reason == FinishReason::kLength ? "length" : "stop";
  }
};

class AnswerForm {
 public:
  virtual ~AnswerForm() = default;
  virtual std::unique_ptr<ChoiceText> NewChoice(size_t prompt) const = 0;
  virtual const char* whole_object() const = 0;   // "chat.completion"
  virtual const char* stream_object() const = 0;  // "chat.completion.chunk"
  virtual const char* id_prefix() const = 0;      // "chatcmpl-"
  virtual const char* prompt_field() const = 0;   // "messages"
  // Where prompt_token_ids stand: in every choice, or beside them.
  virtual bool prompt_ids_in_choice() const = 0;
  // One token's logprobs appended to the accumulated object. text_offset: characters of the answer
  // before it.
  virtual void AddLogprobs(const Model& model, const Event& event, int64_t text_offset,
                           Json* logprobs) const = 0;
};

// Submits n choices for every prompt and answers in this form.
void SubmitCompletion(ModelCall& call, const CompletionParams& params,
                      std::vector<std::vector<int32_t>> prompts, std::shared_ptr<AnswerForm> form);

// OpenAI's usage object.
Json Usage(int64_t prompt_tokens, int64_t new_tokens, int64_t cached_tokens);

}  // namespace lull
