#include "service/responses_answer.h"

#include <utility>

#include "service/receipt.h"
#include "service/status_map.h"

namespace lull {
namespace {

Json TextPart(const std::string& text) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", Json::array()},
          {"logprobs", Json::array()}};
}

Json ResponsesUsage(const RequestStats& stats, int64_t reasoning_tokens) {
  return {{"input_tokens", stats.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", stats.cached_tokens}}},
          {"output_tokens", stats.new_tokens},
          {"output_tokens_details", {{"reasoning_tokens", reasoning_tokens}}},
          {"total_tokens", stats.prompt_tokens + stats.new_tokens}};
}

}  // namespace

ResponsesAnswer::ResponsesAnswer(ModelCall& call, ResponsesOptions options)
    : service_(call.service),
      served_(call.served),
      model_(call.model_name()),
      responder_(call.responder),
      options_(std::move(options)),
      created_(UnixSeconds()),
      parser_(NewAnswerParser(options_.style)) {}

void ResponsesAnswer::OnToken(size_t, const Event& event) {
  Start();
  std::vector<ToolPiece> pieces;
  parser_->Push(event.text, &pieces);
  Take(std::move(pieces));
  // A token that only may end the reasoning counts to it.
  if (event.kind == Event::Kind::kToken && In("reasoning")) ++reasoning_tokens_;
}

void ResponsesAnswer::OnFinish(size_t choice, const Event& event, const RequestStats* total) {
  OnToken(choice, event);
  std::vector<ToolPiece> pieces;
  parser_->Finish(&pieces);
  Take(std::move(pieces));
  if (output_.empty()) AddText("");
  const bool cut = event.reason == FinishReason::kLength;
  Close(cut ? "incomplete" : "completed");
  Json response = ResponseJson(cut ? "incomplete" : "completed");
  if (cut) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  response["usage"] = ResponsesUsage(*total, reasoning_tokens_);
  response["lull"] = Receipt(options_.id, *total);
  if (!options_.stream)
    return responder_->Send(
        {200, "application/json", Dump(response), {{"X-Request-Id", options_.id}}});
  Send(cut ? "response.incomplete" : "response.completed", {{"response", std::move(response)}});
  responder_->End();
}

void ResponsesAnswer::OnError(const Error& error) {
  if (!started_ || !options_.stream) return SendError(service_, *responder_, error);
  Json response = ResponseJson("failed");
  response["error"] = {{"code", ErrorCodeName(error.code)}, {"message", error.message}};
  Send("response.failed", {{"response", std::move(response)}});
  responder_->End();
}

void ResponsesAnswer::Take(std::vector<ToolPiece> pieces) {
  for (const ToolPiece& piece : pieces) {
    switch (piece.kind) {
      case ToolPiece::Kind::kText:
        if (!piece.text.empty()) AddText(piece.text);
        break;
      case ToolPiece::Kind::kReasoning:
        AddReasoning(piece.text);
        break;
      case ToolPiece::Kind::kBegin:
        Open({{"type", "function_call"},
              {"id", NextId("fc_")},
              {"call_id", NextId("call_")},
              {"name", piece.text},
              {"arguments", ""},
              {"status", "in_progress"}});
        break;
      case ToolPiece::Kind::kArguments:
        AddArguments(piece.text);
        break;
    }
  }
}

bool ResponsesAnswer::In(const char* type) const { return open_ && output_.back()["type"] == type; }

void ResponsesAnswer::Open(Json item) {
  Close();
  output_.push_back(std::move(item));
  open_ = true;
  const size_t index = output_.size() - 1;
  Json shown = output_.back();
  if (shown.contains("content")) shown["content"] = Json::array();
  Send("response.output_item.added", {{"output_index", index}, {"item", std::move(shown)}});
  if (InMessage())
    Send("response.content_part.added", {{"item_id", output_.back()["id"]},
                                         {"output_index", index},
                                         {"content_index", 0},
                                         {"part", TextPart("")}});
}

void ResponsesAnswer::AddText(const std::string& text) {
  if (!InMessage())
    Open({{"type", "message"},
          {"id", NextId("msg_")},
          {"role", "assistant"},
          {"content", Json::array({TextPart("")})},
          {"status", "in_progress"}});
  if (text.empty()) return;
  std::string& all = output_.back()["content"][0]["text"].get_ref<std::string&>();
  all += text;
  Send("response.output_text.delta", {{"item_id", output_.back()["id"]},
                                      {"output_index", output_.size() - 1},
                                      {"content_index", 0},
                                      {"delta", text},
                                      {"logprobs", Json::array()}});
}

void ResponsesAnswer::AddReasoning(const std::string& text) {
  if (!In("reasoning"))
    Open({{"type", "reasoning"},
          {"id", NextId("rs_")},
          {"summary", Json::array()},
          {"content", Json::array({{{"type", "reasoning_text"}, {"text", ""}}})},
          {"status", "in_progress"}});
  output_.back()["content"][0]["text"].get_ref<std::string&>() += text;
  Send("response.reasoning_text.delta", {{"item_id", output_.back()["id"]},
                                         {"output_index", output_.size() - 1},
                                         {"content_index", 0},
                                         {"delta", text}});
}

void ResponsesAnswer::AddArguments(const std::string& text) {
  output_.back()["arguments"].get_ref<std::string&>() += text;
  Send("response.function_call_arguments.delta",
       {{"item_id", output_.back()["id"]}, {"output_index", output_.size() - 1}, {"delta", text}});
}

void ResponsesAnswer::Close(const char* status) {
  if (!open_) return;
  Json& item = output_.back();
  const size_t index = output_.size() - 1;
  item["status"] = status;
  if (InMessage()) {
    Send("response.output_text.done", {{"item_id", item["id"]},
                                       {"output_index", index},
                                       {"content_index", 0},
                                       {"text", item["content"][0]["text"]},
                                       {"logprobs", Json::array()}});
    Send("response.content_part.done", {{"item_id", item["id"]},
                                        {"output_index", index},
                                        {"content_index", 0},
                                        {"part", item["content"][0]}});
  } else if (In("reasoning")) {
    Send("response.reasoning_text.done", {{"item_id", item["id"]},
                                          {"output_index", index},
                                          {"content_index", 0},
                                          {"text", item["content"][0]["text"]}});
  } else {
    Send("response.function_call_arguments.done", {{"item_id", item["id"]},
                                                   {"output_index", index},
                                                   {"name", item["name"]},
                                                   {"arguments", item["arguments"]}});
  }
  Send("response.output_item.done", {{"output_index", index}, {"item", item}});
  open_ = false;
}

void ResponsesAnswer::Start() {
  if (std::exchange(started_, true) || !options_.stream) return;
  responder_->StartStream("text/event-stream", {{"X-Request-Id", options_.id}});
  const Json response = ResponseJson("in_progress");
  Send("response.created", {{"response", response}});
  Send("response.in_progress", {{"response", response}});
}

void ResponsesAnswer::Send(const char* type, Json data) {
  if (!options_.stream) return;
  Json event = {{"type", type}, {"sequence_number", sequence_++}};
  event.update(data);
  responder_->Write(std::string("event: ") + type + "\ndata: " + Dump(event) + "\n\n");
}

Json ResponsesAnswer::ResponseJson(const char* status) const {
  Json response = {{"id", options_.id}, {"object", "response"}, {"created_at", created_},
                   {"status", status},  {"error", nullptr},     {"incomplete_details", nullptr},
                   {"model", model_},   {"output", output_},    {"usage", nullptr}};
  response.update(options_.echoed);
  return response;
}

}  // namespace lull
