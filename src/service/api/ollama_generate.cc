#include "service/chat_setup.h"
#include "service/ollama/answer.h"

namespace lull {
namespace {

struct GenerateParams {
  std::string prompt;
  std::string system;
  bool raw = false;
  std::vector<int32_t> context;
};

void ReadContext(const Model& model, JsonFields& fields, std::vector<int32_t>* context) {
  const Json* given = fields.Get("context");
  if (given == nullptr) return;
  if (!given->is_array()) return fields.Fail("context", "must be an array of token ids");
  for (const Json& id : *given) {
    const bool known = id.is_number_integer() && id >= 0 && id < model.info().vocab_size;
    if (!known) return fields.Fail("context", "must be an array of this model's token ids");
    context->push_back(id.get<int32_t>());
  }
}

// What would change the answer if it were left out.
void RefuseUnsupported(JsonFields& fields) {
  if (!fields.String("suffix", "").empty()) fields.Fail("suffix", "filling in is not supported");
  if (!fields.String("template", "").empty())
    fields.Fail("template", "Ollama's templates are not supported; use raw and a whole prompt");
  const Json* images = fields.Get("images");
  if (images != nullptr && !images->empty()) fields.Fail("images", "this model takes text only");
}

GenerateParams ReadGenerateParams(const Model& model, JsonFields& fields) {
  GenerateParams params;
  params.prompt = fields.String("prompt", "");
  params.system = fields.String("system", "");
  params.raw = fields.Bool("raw", false);
  ReadContext(model, fields, &params.context);
  RefuseUnsupported(fields);
  return params;
}

// Also how the answer is to be read.
Result<std::vector<int32_t>> OwnTokens(const Model& model, const GenerateParams& params,
                                       const Json& variables, OllamaParams* ollama) {
  if (params.raw || !model.has_chat_template()) return model.TokenizePrompt(params.prompt);
  Json messages = Json::array();
  if (!params.system.empty()) messages.push_back({{"role", "system"}, {"content", params.system}});
  messages.push_back({{"role", "user"}, {"content", params.prompt}});
  LULL_ASSIGN_OR_RETURN(ChatPrompt prompt, MakeChatPrompt(model, messages, {}, &variables));
  ollama->style = StyleOf(model, {}, !ollama->format.is_null(), &prompt);
  ollama->request.shown_tokens = ShownTokens(model, ollama->style);
  return model.TokenizePrompt(prompt.text);
}

Status Handle(OllamaCall& call) {
  const Model& model = *call.call.served->model;
  JsonFields fields(call.call.body);
  const GenerateParams params = ReadGenerateParams(model, fields);
  LULL_RETURN_IF_ERROR(fields.FirstError());
  LULL_ASSIGN_OR_RETURN(const Json variables, TemplateVariables(call));
  LULL_ASSIGN_OR_RETURN(const std::vector<int32_t> own,
                        OwnTokens(model, params, variables, &call.params));
  std::vector<int32_t> tokens = params.context;
  const bool second_bos = !tokens.empty() && !own.empty() && own[0] == model.bos_token();
  tokens.insert(tokens.end(), own.begin() + (second_bos ? 1 : 0), own.end());
  return SubmitOllama(call, OllamaKind::kGenerate, std::move(tokens), !params.raw);
}

}  // namespace

void HandleOllamaGenerate(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithOllamaModel(service, request, responder, OllamaKind::kGenerate, Handle);
}

}  // namespace lull
