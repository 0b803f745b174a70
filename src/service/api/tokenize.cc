// /tokenize, /detokenize and /apply-template, with the field names of llama-server (content,
// add_special, with_pieces) and of vLLM (prompt or messages, add_special_tokens,
// return_token_strs).
#include "service/chat_setup.h"
#include "service/generation.h"
#include "service/tool_params.h"

namespace lull {
namespace {

Result<std::string> ChatText(const ModelCall& call, JsonFields& fields) {
  const Json* messages = fields.Get("messages");
  const Json variables = ReadTemplateVariables(fields);
  const ToolParams tools = ReadToolParams(fields, /*flat=*/false);
  const bool prompted = fields.Bool("add_generation_prompt", true);
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (messages == nullptr) return Status(ErrorCode::kUsage, "messages: missing", "messages");
  LULL_ASSIGN_OR_RETURN(ChatPrompt prompt, MakeChatPrompt(*call.served->model, *messages,
                                                          tools.tools, &variables, prompted));
  return std::move(prompt.text);
}

struct Tokenized {
  std::vector<int32_t> tokens;
  bool pieces = false;   // llama-server's objects in place of ids
  bool strings = false;  // vLLM's token_strs
};

Result<Tokenized> Tokenize(ModelCall& call) {
  JsonFields fields(call.body);
  const Model& model = *call.served->model;
  Tokenized result;
  fields.Ignore("model");
  result.pieces = fields.Bool("with_pieces", false);
  result.strings = fields.Bool("return_token_strs", false);
  const Json* content = fields.Get("content");
  const bool is_content = content != nullptr;
  TokenizeOptions options;
  options.add_bos =
      is_content ? fields.Bool("add_special", false) : fields.Bool("add_special_tokens", true);
  options.parse_special = fields.Bool("parse_special", true);
  if (!is_content && fields.Get("messages") != nullptr) {
    LULL_ASSIGN_OR_RETURN(const std::string text, ChatText(call, fields));
    LULL_ASSIGN_OR_RETURN(result.tokens, model.TokenizePrompt(text));
    return result;
  }
  const char* field = is_content ? "content" : "prompt";
  const std::string text = fields.String(field, "");
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (!is_content && fields.Get("prompt") == nullptr)
    return Status(ErrorCode::kUsage, "content: missing (or prompt, or messages)", "content");
  LULL_ASSIGN_OR_RETURN(result.tokens, model.Tokenize(text, options));
  return result;
}

Status HandleTokens(ModelCall& call) {
  LULL_ASSIGN_OR_RETURN(const Tokenized result, Tokenize(call));
  const Model& model = *call.served->model;
  Json tokens = Json::array(), strings = Json::array();
  for (const int32_t id : result.tokens) {
    const std::string piece = model.Detokenize({id}, true);
    if (result.strings) strings.push_back(piece);
    if (result.pieces)
      tokens.push_back({{"id", id}, {"piece", piece}});
    else
      tokens.push_back(id);
  }
  Json body = {{"tokens", std::move(tokens)},
               {"count", result.tokens.size()},
               {"max_model_len", call.served->engine->max_context_tokens()}};
  if (result.strings) body["token_strs"] = std::move(strings);
  SendJson(*call.responder, body);
  return Status();
}

Status HandleText(ModelCall& call) {
  JsonFields fields(call.body);
  const Model& model = *call.served->model;
  fields.Ignore("model");
  const Json* ids = fields.Get("tokens");
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (ids == nullptr || !ids->is_array())
    return Status(ErrorCode::kUsage, "tokens: must be an array of token ids", "tokens");
  std::vector<int32_t> tokens;
  for (const Json& id : *ids) {
    const int64_t value = id.is_number_integer() && !(id.is_number_unsigned() &&
                                                      id.get<uint64_t>() > uint64_t{INT32_MAX})
                              ? id.get<int64_t>()
                              : -1;
    if (value < 0 || value >= model.info().vocab_size)
      return Status(ErrorCode::kUsage, "tokens: " + id.dump().substr(0, 64) + " is no token id",
                    "tokens");
    tokens.push_back(static_cast<int32_t>(value));
  }
  const std::string text = model.Detokenize(tokens, true);
  SendJson(*call.responder, {{"content", text}, {"prompt", text}});
  return Status();
}

Status HandleTemplate(ModelCall& call) {
  JsonFields fields(call.body);
  fields.Ignore("model");
  LULL_ASSIGN_OR_RETURN(const std::string text, ChatText(call, fields));
  SendJson(*call.responder, {{"prompt", text}});
  return Status();
}

}  // namespace

void HandleTokenize(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithModel(service, request, responder, HandleTokens);
}
void HandleDetokenize(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithModel(service, request, responder, HandleText);
}
void HandleApplyTemplate(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithModel(service, request, responder, HandleTemplate);
}

}  // namespace lull
