// The channels of gpt-oss: <|channel|>analysis<|message|>...<|end|><|start|>assistant
// <|channel|>commentary to=functions.f <|constrain|>json<|message|>{...}<|call|>, and final.
#pragma once

#include <memory>

#include "service/answer/answer_parser.h"

namespace lull {

// Analysis is reasoning; final, and commentary for nobody, is text.
std::unique_ptr<AnswerParser> NewHarmonyParser(PieceSink sink);

// Recipients instead of marks (Functionary 3.2): >>>all\ntext>>>f\n{...}. The prompt ends with the
// first >>>.
std::unique_ptr<AnswerParser> NewRecipientParser(PieceSink sink);

}  // namespace lull
