// Calls between marks: what stands between the marks is the business of a reader, one class for
// each way of writing calls.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "service/answer/answer_parser.h"

namespace lull {

// Reads one section. Takes from the buffer's front what it has passed on; what it refuses is still
// there.
class CallReader {
 public:
  enum class Step {
    kMore,   // with what there is: nothing
    kAgain,  // something was taken, there may be more to do
    kDone,   // the section has ended, its closing mark is taken
    kNo,     // what stands at the front is no call
  };
  virtual ~CallReader() = default;
  virtual void Open() = 0;  // a section begins
  virtual Step Read(std::string* buffer, PieceSink* sink) = 0;
  // The answer has ended. What is left in the buffer is text, unless it is blank.
  virtual void End(std::string* buffer, PieceSink* sink) { (void)buffer, (void)sink; }
};

// Text until a mark, a section, text again. `drop`: marks that mean nothing here.
class SectionParser : public AnswerParser {
 public:
  SectionParser(std::string_view open, std::vector<std::string_view> drop,
                std::unique_ptr<CallReader> reader, PieceSink sink);
  void Push(const std::string& text, std::vector<ToolPiece>* out) override;
  void Finish(std::vector<ToolPiece>* out) override;

 private:
  bool Step();
  bool StepText();
  bool StepSection();

  const std::string_view open_;
  const std::vector<std::string_view> drop_;
  const std::unique_ptr<CallReader> reader_;
  PieceSink sink_;
  std::string buffer_;
  bool in_section_ = false;
  int calls_before_ = 0;  // the section that is open
};

// {"name": "f", "arguments": {...}}, one, several or an array of them. Arguments stream where the
// name comes first and they are an object; any other order is read when the call is complete.
// names_are_keys: {"f": {...}}.
std::unique_ptr<CallReader> NewJsonReader(std::string_view close, bool names_are_keys = false);

// A name, a mark, the arguments as JSON. For example
//   item_open ... name_open name name_end ... args_open {...} item_close
// name_open "": right behind item_open. args_open "": right behind name_end. item_close "": behind
// the arguments. close "": a section is one call.
struct NamedSyntax {
  std::string_view item_open, name_end, args_open, item_close, close;
  std::string_view name_prefix;  // no part of the name: "functions."
  std::string_view name_open;
};
std::unique_ptr<CallReader> NewNamedReader(const NamedSyntax& syntax);

// Each argument between marks of its own:
//   call_open name name_end ... head_end (key_open key key_end ... value_open value value_close)*
//   call_close
// head_end, value_open "": right behind what is before. close "": a section is one call, opened by
// call_open.
struct TaggedSyntax {
  std::string_view call_open, name_end, key_open, key_end, value_open, value_close, call_close;
  std::string_view close;
  bool lines = false;  // a value stands between line breaks of its own
  std::string_view head_end = {};
};
std::unique_ptr<CallReader> NewTaggedReader(const TaggedSyntax& syntax);

// [f(a=1), g(b='x')], read when the closing mark has come.
std::unique_ptr<CallReader> NewPythonReader(std::string_view close);

// call:f{a:1,b:<|"|>x<|"|>,c:{d:[true]}}, arguments in one piece.
std::unique_ptr<CallReader> NewGemmaReader(std::string_view close);

}  // namespace lull
