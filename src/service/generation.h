// What the two completion endpoints share: reading parameters, submitting, and turning the engine's
// events into a whole answer or a stream.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "service/endpoint.h"
#include "service/json_request.h"

namespace lull {

// The parameters that chat and plain completions have in common.
struct CompletionParams {
  Request request;
  bool stream = false;
  bool include_usage = false;
  int top_logprobs = 0;  // shown per token; request.logprobs is at least 1 where any are asked for
};
// Reads them from fields; prompt tokens are set by the caller before Submit. max_tokens 0: as many
// as the context holds.
CompletionParams ReadCompletionParams(const Service& service, JsonFields& fields);

// How an endpoint words its answers.
class AnswerShape {
 public:
  virtual ~AnswerShape() = default;
  // The choice object of a whole answer, without finish_reason.
  virtual Json Whole(const std::string& text, const Json& logprobs) const = 0;
  // The choice object of one piece of a stream; first: before any text.
  virtual Json Piece(const std::string& text, const Json& logprobs, bool first) const = 0;
  virtual const char* whole_object() const = 0;   // "chat.completion"
  virtual const char* stream_object() const = 0;  // "chat.completion.chunk"
  virtual const char* id_prefix() const = 0;      // "chatcmpl-"
  virtual const char* prompt_field() const = 0;   // "messages"
  // One token's logprobs appended to the accumulated object.
  // text_offset: characters of the answer before it.
  virtual void AddLogprobs(const Model& model, const Event& event, int64_t text_offset,
                           Json* logprobs) const = 0;
};

// Parses the body, acquires the model that it names and hands both to handle; an error of any of
// them is sent.
using ModelHandler = Status (*)(Service& service, ServedModelPtr served, const Json& body,
                                const ResponderPtr& responder);
void WithModel(Service& service, const HttpRequest& request, const ResponderPtr& responder,
               ModelHandler handle);

void SubmitCompletion(Service& service, ServedModelPtr served, CompletionParams params,
                      std::shared_ptr<AnswerShape> shape, ResponderPtr responder);

}  // namespace lull
