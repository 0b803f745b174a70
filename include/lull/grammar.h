// What an answer must look like, whatever the model would rather say.
#pragma once

#include <string>
#include <vector>

namespace lull {

// Model::NewConstraint makes a TokenConstraint of it. docs/design/grammar.md says which keywords
// of JSON Schema and which regular expressions are understood; the others are refused by name.
struct GrammarSpec {
  enum class Kind {
    kJsonObject,  // any JSON object
    kJsonSchema,  // text: a JSON Schema
    kRegex,       // text: a regular expression that the whole answer matches
    kChoice,      // choices: the answer is one of them
  };
  Kind kind = Kind::kJsonObject;
  std::string text;
  std::vector<std::string> choices;
  // Written before and after it, byte for byte, e.g. the marks around a tool call.
  std::string prefix, suffix;

  bool operator==(const GrammarSpec&) const = default;
};

}  // namespace lull
