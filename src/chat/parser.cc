#include "chat/parser.h"

#include <algorithm>
#include <initializer_list>

#include "chat/expression_parser.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

using ExprKind = Expr::Kind;
using StmtKind = Stmt::Kind;

constexpr const char* kRefusedTags[] = {"include", "import", "from",
                                        "extends", "block",  "autoescape"};

class Parser : private ExpressionParser {
 public:
  Parser(std::deque<Token> tokens, const TemplateLimits& limits, WorkMeter* work)
      : ExpressionParser(std::move(tokens), limits, work) {}

  Result<std::unique_ptr<Template>> Run() {
    auto result = std::make_unique<Template>();
    result->body = ParseBody({});
    if (ok() && Cur().type != Tok::kEnd) Fail(Cur().pos, "unexpected end tag");
    for (; !tokens_.empty(); tokens_.pop_front()) work_->Spend(4);
    if (ok() && !unknown_.empty()) Unsupported(unknown_[0].pos, unknown_[0].message);
    if (!ok()) return status_;
    for (auto& [name, id] : symbols_) {
      if (result->symbols.size() < symbols_.size()) result->symbols.resize(symbols_.size());
      result->symbols[static_cast<size_t>(id)] = name;
    }
    return result;
  }

 private:
  // --- statements ---

  // Parses until one of the end tags (left as the current name), or the end of the source.
  Body ParseBody(std::initializer_list<std::string_view> ends) {
    Body body;
    const Depth depth(this);
    while (ok()) {
      const Token& token = Cur();
      if (token.type == Tok::kEnd) {
        if (ends.size() != 0) {
          Fail(token.pos,
               "the template ends where '" + std::string(*(ends.end() - 1)) + "' was expected");
        }
        break;
      }
      if (token.type == Tok::kData) {
        body.push_back(NewStmt(StmtKind::kText, token.pos));
        body.back()->text = CopyPaced(work_, token.text);
        Next();
      } else if (token.type == Tok::kVariableBegin) {
        body.push_back(NewStmt(StmtKind::kPrint, token.pos));
        Next();
        body.back()->exprs.push_back(ParseTuple(true, false));
        Expect(Tok::kVariableEnd, "'}}'");
      } else {
        Next();
        if (Cur().type == Tok::kName &&
            std::find(ends.begin(), ends.end(), Cur().text) != ends.end()) {
          break;
        }
        auto stmt = ParseStatement();
        if (!ok()) break;
        body.push_back(std::move(stmt));
        Expect(Tok::kBlockEnd, "'%}'");
      }
    }
    return body;
  }

  // The same, in a scope of its own, past the one end tag.
  Body ParseInner(std::string_view end) {
    Body body = ParseInnerUntil({end});
    Next();
    return body;
  }
  Body ParseInnerUntil(std::initializer_list<std::string_view> ends) {
    const size_t mark = unknown_.size();
    Expect(Tok::kBlockEnd, "'%}'");
    Body body = ParseBody(ends);
    for (size_t i = mark; i < unknown_.size(); ++i) unknown_[i].hard = true;
    return body;
  }

  static std::unique_ptr<Stmt> NewStmt(StmtKind kind, Pos pos) {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->pos = pos;
    return stmt;
  }

  std::unique_ptr<Stmt> ParseStatement() {
    const Token& token = Cur();
    if (token.type != Tok::kName) {
      Fail(token.pos, "expected a tag name, not " + Describe(token));
      return nullptr;
    }
    const std::string& tag = token.text;
    const Pos pos = token.pos;
    for (const char* refused : kRefusedTags) {
      if (tag != refused) continue;
      Unsupported(pos, "the tag '" + tag + "' is not supported in a chat template");
      return nullptr;
    }
    if (tag == "if") return ParseIf(pos);
    if (tag == "for") return ParseFor(pos);
    if (tag == "set") return ParseSet(pos);
    if (tag == "macro") return ParseMacro(pos);
    if (tag == "call") return ParseCallBlock(pos);
    if (tag == "filter") return ParseFilterBlock(pos);
    if (tag == "with") return ParseWith(pos);
    if (tag == "print") return ParsePrint(pos);
    if (tag == "generation") {
      auto stmt = NewStmt(StmtKind::kGeneration, pos);
      Next();
      const int loops = std::exchange(loops_, 0);
      stmt->bodies.push_back(ParseInner("endgeneration"));
      loops_ = loops;
      return stmt;
    }
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) Fail(pos, "'" + tag + "' outside a loop");
      Next();
      return NewStmt(tag == "break" ? StmtKind::kBreak : StmtKind::kContinue, pos);
    }
    Unsupported(pos, "unknown tag '" + tag + "'");
    return nullptr;
  }

  std::unique_ptr<Stmt> ParseIf(Pos pos) {
    auto stmt = NewStmt(StmtKind::kIf, pos);
    Next();
    while (ok()) {
      stmt->exprs.push_back(ParseTuple(false, false));
      const size_t mark = unknown_.size();
      Expect(Tok::kBlockEnd, "'%}'");
      stmt->bodies.push_back(ParseBody({"elif", "else", "endif"}));
      DropSoft(mark);
      if (!ok() || SkipName("endif")) break;
      if (SkipName("elif")) continue;
      Next();  // else
      Expect(Tok::kBlockEnd, "'%}'");
      stmt->bodies.push_back(ParseBody({"endif"}));
      DropSoft(mark);
      Next();
      break;
    }
    return stmt;
  }

  std::unique_ptr<Stmt> ParseFor(Pos pos) {
    auto stmt = NewStmt(StmtKind::kFor, pos);
    Next();
    stmt->targets.push_back(ParseTargets(false));
    if (!SkipName("in")) Fail(Cur().pos, "expected 'in', not " + Describe(Cur()));
    stmt->exprs.push_back(ParseTuple(false, false, "recursive"));
    stmt->exprs.push_back(SkipName("if") ? ParseExpr() : nullptr);
    stmt->recursive = SkipName("recursive");
    ++loops_;
    stmt->bodies.push_back(ParseInnerUntil({"else", "endfor"}));
    --loops_;
    if (ok() && SkipName("else")) stmt->bodies.push_back(ParseInnerUntil({"endfor"}));
    Next();
    return stmt;
  }

  std::unique_ptr<Stmt> ParseSet(Pos pos) {
    Next();
    Target target = ParseTargets(true);
    if (SkipOp("=")) {
      auto stmt = NewStmt(StmtKind::kSet, pos);
      stmt->targets.push_back(std::move(target));
      stmt->exprs.push_back(ParseTuple(true, false));
      return stmt;
    }
    auto stmt = NewStmt(StmtKind::kSetBlock, pos);
    stmt->targets.push_back(std::move(target));
    while (ok() && SkipOp("|")) stmt->filters.push_back(ParseFilter());
    const int loops = std::exchange(loops_, 0);
    stmt->bodies.push_back(ParseInner("endset"));
    loops_ = loops;
    return stmt;
  }

  void ParseSignature(Signature* signature) {
    ExpectOp("(");
    while (ok() && !IsOp(")")) {
      if (!signature->params.empty()) ExpectOp(",");
      if (signature->params.size() == kMaxParams) TooMany("parameters");
      const Pos pos = Cur().pos;
      const std::string name = ExpectName();
      CheckAssignable(name, pos);
      signature->params.push_back(Symbol(name));
      if (SkipOp("=")) {
        signature->defaults.push_back(ParseExpr());
      } else if (!signature->defaults.empty()) {
        Fail(pos, "the parameter '" + name + "' without a default follows one with a default");
      }
      if (std::find(signature->names.begin(), signature->names.end(), name) !=
          signature->names.end()) {
        Fail(pos, "the parameter '" + name + "' is given twice");
      }
      signature->names.push_back(name);
    }
    ExpectOp(")");
  }

  Body ParseMacroBody(Signature* signature, std::string_view end) {
    signatures_.push_back(signature);
    const int loops = std::exchange(loops_, 0);
    Body body = ParseInner(end);
    loops_ = loops;
    signatures_.pop_back();
    return body;
  }

  std::unique_ptr<Stmt> ParseMacro(Pos pos) {
    auto stmt = NewStmt(StmtKind::kMacro, pos);
    Next();
    stmt->text = ExpectName();
    CheckAssignable(stmt->text, pos);
    stmt->symbol = Symbol(stmt->text);
    ParseSignature(&stmt->signature);
    stmt->bodies.push_back(ParseMacroBody(&stmt->signature, "endmacro"));
    return stmt;
  }

  std::unique_ptr<Stmt> ParseCallBlock(Pos pos) {
    auto stmt = NewStmt(StmtKind::kCall, pos);
    Next();
    if (IsOp("(")) ParseSignature(&stmt->signature);
    ExprPtr call = ParseExpr();
    if (!ok()) return nullptr;
    if (call->kind != ExprKind::kSuffixed || call->suffixes.back().kind != Suffix::Kind::kCall) {
      Fail(pos, "expected a call after 'call'");
    }
    stmt->exprs.push_back(std::move(call));
    stmt->bodies.push_back(ParseMacroBody(&stmt->signature, "endcall"));
    return stmt;
  }

  std::unique_ptr<Stmt> ParseFilterBlock(Pos pos) {
    auto stmt = NewStmt(StmtKind::kFilter, pos);
    Next();
    do {
      stmt->filters.push_back(ParseFilter());
    } while (ok() && SkipOp("|"));
    const int loops = std::exchange(loops_, 0);
    stmt->bodies.push_back(ParseInner("endfilter"));
    loops_ = loops;
    return stmt;
  }

  std::unique_ptr<Stmt> ParseWith(Pos pos) {
    auto stmt = NewStmt(StmtKind::kWith, pos);
    Next();
    while (ok() && Cur().type != Tok::kBlockEnd) {
      if (!stmt->targets.empty()) ExpectOp(",");
      stmt->targets.push_back(ParseTarget(false));
      ExpectOp("=");
      stmt->exprs.push_back(ParseExpr());
    }
    stmt->bodies.push_back(ParseInner("endwith"));
    return stmt;
  }

  std::unique_ptr<Stmt> ParsePrint(Pos pos) {
    auto stmt = NewStmt(StmtKind::kPrint, pos);
    Next();
    while (ok() && Cur().type != Tok::kBlockEnd) {
      if (!stmt->exprs.empty()) ExpectOp(",");
      stmt->exprs.push_back(ParseExpr());
    }
    return stmt;
  }

  // --- assignment targets ---

  void CheckAssignable(const std::string& name, Pos pos) {
    for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
      if (name == constant) Fail(pos, "can't assign to '" + name + "'");
    }
  }

  Target ParseTarget(bool with_namespace) {
    Target target;
    target.pos = Cur().pos;
    const Depth depth(this);
    if (!ok()) return target;
    if (SkipOp("(")) {
      target = ParseTargets(with_namespace);
      ExpectOp(")");
      return target;
    }
    const std::string name = ExpectName();
    CheckAssignable(name, target.pos);
    target.symbol = Symbol(name);
    if (with_namespace && SkipOp(".")) target.attribute = ExpectName();
    return target;
  }

  Target ParseTargets(bool with_namespace) {
    Target first = ParseTarget(with_namespace);
    if (!ok() || !IsOp(",")) return first;
    Target tuple;
    tuple.pos = first.pos;
    tuple.tuple = true;
    tuple.items.push_back(std::move(first));
    while (ok() && SkipOp(",")) {
      if (IsName("in") || IsOp("=") || IsOp(")") || Cur().type == Tok::kBlockEnd) break;
      tuple.items.push_back(ParseTarget(with_namespace));
    }
    return tuple;
  }

  int loops_ = 0;
};

}  // namespace

Result<std::unique_ptr<Template>> ParseTemplate(const std::string& source,
                                                const TemplateLimits& limits, WorkMeter* work) {
  LULL_ASSIGN_OR_RETURN(std::deque<Token> tokens, Tokenize(source, limits.max_depth, work));
  return Parser(std::move(tokens), limits, work).Run();
}

}  // namespace lull::jinja
