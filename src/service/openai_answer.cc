#include "service/openai_answer.h"

#include <algorithm>

#include "service/receipt.h"
#include "service/status_map.h"

namespace lull {
namespace {

int64_t Characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

class OpenAiAnswer : public AnswerWriter {
 public:
  OpenAiAnswer(ModelCall& call, const CompletionParams& params, std::string id,
               std::vector<std::vector<int32_t>> prompts, std::shared_ptr<AnswerForm> form)
      : service_(call.service),
        served_(call.served),
        model_(call.model_name()),
        responder_(call.responder),
        form_(std::move(form)),
        id_(std::move(id)),
        created_(UnixSeconds()),
        n_(static_cast<size_t>(params.n)),
        stream_(params.stream),
        include_usage_(params.include_usage),
        logprobs_(params.logprobs),
        token_ids_(params.return_token_ids),
        choices_(prompts.size() * n_) {
    for (size_t i = 0; i < choices_.size(); ++i) choices_[i].text = form_->NewChoice(i / n_);
    if (token_ids_) prompts_ = std::move(prompts);
  }

  void OnToken(size_t index, const Event& event) override {
    Choice& choice = choices_[index];
    if (logprobs_) form_->AddLogprobs(*served_->model, event, choice.characters, &choice.logprobs);
    if (token_ids_) choice.token_ids.push_back(event.token);
    choice.characters += Characters(event.text);
    const std::vector<Json> pieces = choice.text->Push(event.text);
    if (!stream_) return;
    Open(index);
    SendPieces(index, pieces);
    // Of a token that brings no text yet, what was asked for beside the text.
    if (pieces.empty() && (logprobs_ || token_ids_)) SendPieces(index, {choice.text->Ending()});
  }

  void OnFinish(size_t index, const Event& event, const RequestStats* total) override {
    Choice& choice = choices_[index];
    std::vector<Json> pieces = choice.text->Push(event.text);
    for (Json& piece : choice.text->Finish()) pieces.push_back(std::move(piece));
    choice.finish_reason = choice.text->FinishReasonFor(event.reason);
    if (index % n_ == 0) prompt_tokens_ += event.stats.prompt_tokens;
    if (stream_) {
      Open(index);
      SendPieces(index, pieces);
      Json last = ChoiceJson(index, choice.text->Ending(), choice.finish_reason);
      SendChunk(Json::array({std::move(last)}), include_usage_ ? nullptr : total);
    }
    if (total == nullptr) return;
    if (stream_)
      EndStream(*total);
    else
      SendWhole(*total);
  }

  void OnError(const Error& error) override {
    if (!started_) return SendError(service_, *responder_, error);
    responder_->Write("data: " + ErrorResponse(error).body + "\n\n");
    responder_->End();
  }

 private:
  struct Choice {
    std::unique_ptr<ChoiceText> text;
    bool opened = false;
    int64_t characters = 0;
    Json logprobs;                   // not sent yet
    std::vector<int32_t> token_ids;  // not sent yet
    std::string finish_reason;
  };

  Json Envelope(const char* object, Json choices) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", model_},
            {"choices", std::move(choices)}};
  }

  // Takes what has gathered since the last piece.
  Json ChoiceJson(size_t index, const Json& content, const Json& finish_reason) {
    Choice& choice = choices_[index];
    Json json = {{"index", index}};
    json.update(content);
    json["logprobs"] = std::exchange(choice.logprobs, Json());
    json["finish_reason"] = finish_reason;
    if (token_ids_) json["token_ids"] = std::exchange(choice.token_ids, {});
    return json;
  }

  void Open(size_t index) {
    if (!std::exchange(started_, true))
      responder_->StartStream("text/event-stream", {{"X-Request-Id", id_}});
    Choice& choice = choices_[index];
    if (std::exchange(choice.opened, true)) return;
    Json json = {{"index", index}};
    json.update(choice.text->Opening());
    json["logprobs"] = nullptr;
    json["finish_reason"] = nullptr;
    Json chunk = Envelope(form_->stream_object(), Json::array());
    if (token_ids_)
      (form_->prompt_ids_in_choice() ? json : chunk)["prompt_token_ids"] = prompts_[index / n_];
    chunk["choices"].push_back(std::move(json));
    if (include_usage_) chunk["usage"] = nullptr;
    Send(chunk);
  }

  void SendPieces(size_t index, const std::vector<Json>& pieces) {
    for (const Json& piece : pieces)
      SendChunk(Json::array({ChoiceJson(index, piece, nullptr)}), nullptr);
  }

  void SendChunk(Json choices, const RequestStats* total) {
    Json chunk = Envelope(form_->stream_object(), std::move(choices));
    if (include_usage_) chunk["usage"] = nullptr;
    if (total != nullptr) chunk["lull"] = Receipt(id_, *total);
    Send(chunk);
  }

  void Send(const Json& chunk) { responder_->Write("data: " + Dump(chunk) + "\n\n"); }

  void EndStream(const RequestStats& total) {
    if (include_usage_) {
      Json chunk = Envelope(form_->stream_object(), Json::array());
      chunk["usage"] = Usage(prompt_tokens_, total.new_tokens, total.cached_tokens);
      chunk["lull"] = Receipt(id_, total);
      Send(chunk);
    }
    responder_->Write("data: [DONE]\n\n");
    responder_->End();
  }

  void SendWhole(const RequestStats& total) {
    Json choices = Json::array();
    for (size_t i = 0; i < choices_.size(); ++i) {
      Json choice = ChoiceJson(i, choices_[i].text->Whole(), choices_[i].finish_reason);
      if (token_ids_ && form_->prompt_ids_in_choice())
        choice["prompt_token_ids"] = prompts_[i / n_];
      choices.push_back(std::move(choice));
    }
    Json body = Envelope(form_->whole_object(), std::move(choices));
    if (token_ids_ && !form_->prompt_ids_in_choice()) body["prompt_token_ids"] = prompts_.front();
    body["usage"] = Usage(prompt_tokens_, total.new_tokens, total.cached_tokens);
    body["lull"] = Receipt(id_, total);
    responder_->Send({200, "application/json", Dump(body), {{"X-Request-Id", id_}}});
  }

  Service& service_;
  const ServedModelPtr served_;
  const std::string model_;
  const ResponderPtr responder_;
  const std::shared_ptr<AnswerForm> form_;
  const std::string id_;
  const int64_t created_;
  const size_t n_;
  const bool stream_, include_usage_, logprobs_, token_ids_;
  std::vector<Choice> choices_;
  std::vector<std::vector<int32_t>> prompts_;  // where their ids were asked for
  bool started_ = false;
  int64_t prompt_tokens_ = 0;  // every prompt once, however many answers it has
};

}  // namespace

Json Usage(int64_t prompt_tokens, int64_t new_tokens, int64_t cached_tokens) {
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", new_tokens},
          {"total_tokens", prompt_tokens + new_tokens},
          {"prompt_tokens_details", {{"cached_tokens", std::min(cached_tokens, prompt_tokens)}}}};
}

void SubmitCompletion(ModelCall& call, const CompletionParams& params,
                      std::vector<std::vector<int32_t>> prompts, std::shared_ptr<AnswerForm> form) {
  GenerationJob generation;
  generation.id = NextId(form->id_prefix());
  Result<std::vector<Request>> choices = ToChoices(*call.served, params, prompts);
  if (!choices.ok()) return SendError(call.service, *call.responder, choices.error());
  generation.choices = std::move(*choices);
  generation.stream = params.stream;
  generation.prompt_field = form->prompt_field();
  auto writer = std::make_shared<OpenAiAnswer>(call, params, generation.id, std::move(prompts),
                                               std::move(form));
  StartGeneration(call, std::move(generation), std::move(writer));
}

}  // namespace lull
