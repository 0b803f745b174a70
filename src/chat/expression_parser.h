// Expressions of the template language: tokens to Expr, by recursive descent, one function a level
// of precedence (jinja2's grammar). The statements (parser.cc) go on from here: they share the
// cursor over the tokens, the first error, the symbols and the depth that is left.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/ast.h"
#include "chat/lexer.h"

namespace lull::jinja {

inline constexpr size_t kMaxParams = 255;

class ExpressionParser {
 protected:
  ExpressionParser(std::deque<Token> tokens, const TemplateLimits& limits, WorkMeter* work)
      : tokens_(std::move(tokens)), limits_(limits), work_(work) {}

  // An unknown filter or test. Where a condition may keep it from running it is an error only once
  // it does; anywhere else (`hard`) the whole template is refused, as jinja2 does.
  struct Unknown {
    Pos pos;
    std::string message;
    bool hard = false;
  };

  class Depth {
   public:
    explicit Depth(ExpressionParser* parser) : parser_(parser) {
      if (++parser_->depth_ > parser_->limits_.max_depth) {
        parser_->Fail(parser_->Cur().pos, "expressions and blocks nested more than " +
                                              std::to_string(parser_->limits_.max_depth) + " deep");
      }
    }
    ~Depth() { --parser_->depth_; }

   private:
    ExpressionParser* parser_;
  };

  // --- the cursor and the first error ---

  bool ok() const { return status_.ok(); }
  const Token& Cur() const { return tokens_[at_]; }
  const Token& Look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void Next() {
    work_->Spend(32);  // what a token costs, its node included
    if (at_ + 1 < tokens_.size()) ++at_;
  }

  void Fail(Pos pos, std::string message, ErrorCode code = ErrorCode::kInvalidInput);
  void Unsupported(Pos pos, std::string message) {
    Fail(pos, std::move(message), ErrorCode::kUnsupported);
  }
  void TooMany(const char* what);
  static std::string Describe(const Token& token);

  bool IsOp(std::string_view op) const { return Cur().type == Tok::kOperator && Cur().text == op; }
  bool IsName(std::string_view name) const {
    return Cur().type == Tok::kName && Cur().text == name;
  }
  bool SkipOp(std::string_view op);
  bool SkipName(std::string_view name);
  void ExpectOp(std::string_view op);
  void Expect(Tok type, const char* what);
  std::string ExpectName();

  int Symbol(const std::string& name) {
    return symbols_.emplace(name, static_cast<int>(symbols_.size())).first->second;
  }
  // Forgets the unknown filters and tests since `mark` that a condition may keep from running.
  void DropSoft(size_t mark);

  // --- expressions ---

  ExprPtr ParseTuple(bool with_cond, bool parenthesized, std::string_view extra_end = {});
  ExprPtr ParseExpr();
  Suffix ParseFilter();  // after the '|'

  std::deque<Token> tokens_;
  const TemplateLimits limits_;
  WorkMeter* const work_;
  Status status_;
  std::map<std::string, int> symbols_;
  std::vector<Signature*> signatures_;  // of the macros around this place
  std::vector<Unknown> unknown_;

 private:
  static ExprPtr Make(Expr::Kind kind, Pos pos);
  static Suffix* AddSuffix(ExprPtr* expr, Suffix suffix);

  bool AtTupleEnd(std::string_view extra_end) const;
  template <typename ParseNext>
  ExprPtr ParseFlat(Expr::Kind kind, std::string_view word, ParseNext parse_next);
  ExprPtr ParseOr();
  ExprPtr ParseAnd();
  ExprPtr ParseNot();
  bool CompareOp(Op* op);
  ExprPtr ParseCompare();
  bool ArithOp(int level, Op* op);
  ExprPtr ParseArith(int level);
  ExprPtr ParseUnary();
  ExprPtr ParsePrimary();
  ExprPtr ParseNameOrConst();
  ExprPtr ParseList();
  ExprPtr ParseDict();
  void ParsePostfix(ExprPtr* expr);
  void ParseDot(ExprPtr* expr);
  Suffix ParseSubscript();
  Suffix ParseCall();
  void ParseCallArgs(CallArgs* args);
  std::string DottedName();
  void ParseFilters(ExprPtr* expr);
  Suffix ParseTest();

  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace lull::jinja
