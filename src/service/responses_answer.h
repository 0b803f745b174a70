// Answers in the form of OpenAI's /v1/responses, whole or as its typed events.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "service/generation.h"
#include "service/answer/answer_format.h"

namespace lull {

struct ResponsesOptions {
  std::string id;  // "resp_..."
  bool stream = false;
  AnswerStyle style;
  Json echoed;  // the request's settings, as the response object repeats them
};

class ResponsesAnswer : public AnswerWriter {
 public:
  ResponsesAnswer(ModelCall& call, ResponsesOptions options);

  void OnToken(size_t, const Event& event) override;
  void OnFinish(size_t, const Event& event, const RequestStats* total) override;
  void OnError(const Error& error) override;

 private:
  void Take(std::vector<ToolPiece> pieces);
  void Open(Json item);
  void AddText(const std::string& text);
  void AddReasoning(const std::string& text);
  void AddArguments(const std::string& text);
  void Close(const char* status = "completed");
  void Start();
  void Send(const char* type, Json data);
  Json ResponseJson(const char* status) const;
  bool In(const char* type) const;
  bool InMessage() const { return In("message"); }

  Service& service_;
  const ServedModelPtr served_;
  const std::string model_;
  const ResponderPtr responder_;
  const ResponsesOptions options_;
  const int64_t created_;
  const std::unique_ptr<AnswerParser> parser_;
  Json output_ = Json::array();  // the items, the last perhaps open
  bool open_ = false;
  bool started_ = false;
  int64_t sequence_ = 0, reasoning_tokens_ = 0;
};

}  // namespace lull
