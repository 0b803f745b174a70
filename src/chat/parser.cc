#include "chat/parser.h"

#include <algorithm>
#include <initializer_list>
#include <map>

#include "chat/filters.h"
#include "chat/lexer.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

using ExprKind = Expr::Kind;
using StmtKind = Stmt::Kind;

constexpr size_t kMaxParams = 255;
constexpr const char* kRefusedTags[] = {"include", "import", "from",
                                        "extends", "block",  "autoescape"};

Value ConstString(WorkMeter* work, std::string text) {
  auto object = std::make_shared<StringObject>();
  object->length = CodePoints(work, text);
  object->text = std::move(text);
  return Value::Of(Kind::kString, std::move(object));
}

class Parser {
 public:
  Parser(std::deque<Token> tokens, const TemplateLimits& limits, WorkMeter* work)
      : tokens_(std::move(tokens)), limits_(limits), work_(work) {}

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
  // An unknown filter or test. Where a condition may keep it from running it is an error only once
  // it does; anywhere else (`hard`) the whole template is refused, as jinja2 does.
  struct Unknown {
    Pos pos;
    std::string message;
    bool hard = false;
  };

  class Depth {
   public:
    explicit Depth(Parser* parser) : parser_(parser) {
      if (++parser_->depth_ > parser_->limits_.max_depth) {
        parser_->Fail(parser_->Cur().pos, "expressions and blocks nested more than " +
                                              std::to_string(parser_->limits_.max_depth) + " deep");
      }
    }
    ~Depth() { --parser_->depth_; }

   private:
    Parser* parser_;
  };

  bool ok() const { return status_.ok(); }
  const Token& Cur() const { return tokens_[at_]; }
  const Token& Look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void Next() {
    work_->Spend(32);  // what a token costs, its node included
    if (at_ + 1 < tokens_.size()) ++at_;
  }

  void Fail(Pos pos, std::string message, ErrorCode code = ErrorCode::kInvalidInput) {
    if (!ok()) return;
    status_ = Status(code, std::move(message),
                     "line " + std::to_string(pos.line) + ", column " + std::to_string(pos.column));
  }
  void Unsupported(Pos pos, std::string message) {
    Fail(pos, std::move(message), ErrorCode::kUnsupported);
  }

  static std::string Describe(const Token& token) {
    switch (token.type) {
      case Tok::kData:
        return "text";
      case Tok::kVariableBegin:
        return "'{{'";
      case Tok::kVariableEnd:
        return "'}}'";
      case Tok::kBlockBegin:
        return "'{%'";
      case Tok::kBlockEnd:
        return "'%}'";
      case Tok::kString:
        return "a string";
      case Tok::kEnd:
        return "the end of the template";
      default:
        return "'" + token.text + "'";
    }
  }

  bool IsOp(std::string_view op) const { return Cur().type == Tok::kOperator && Cur().text == op; }
  bool IsName(std::string_view name) const {
    return Cur().type == Tok::kName && Cur().text == name;
  }
  bool SkipOp(std::string_view op) {
    if (!IsOp(op)) return false;
    Next();
    return true;
  }
  bool SkipName(std::string_view name) {
    if (!IsName(name)) return false;
    Next();
    return true;
  }
  void ExpectOp(std::string_view op) {
    if (!SkipOp(op)) Fail(Cur().pos, "expected '" + std::string(op) + "', not " + Describe(Cur()));
  }
  void Expect(Tok type, const char* what) {
    if (Cur().type != type) {
      return Fail(Cur().pos, std::string("expected ") + what + ", not " + Describe(Cur()));
    }
    Next();
  }
  std::string ExpectName() {
    if (Cur().type != Tok::kName) {
      Fail(Cur().pos, "expected a name, not " + Describe(Cur()));
      return {};
    }
    std::string name = Cur().text;
    Next();
    return name;
  }

  int Symbol(const std::string& name) {
    return symbols_.emplace(name, static_cast<int>(symbols_.size())).first->second;
  }

  static ExprPtr Make(ExprKind kind, Pos pos) {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->pos = pos;
    return expr;
  }

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

  void DropSoft(size_t mark) {
    unknown_.erase(std::remove_if(unknown_.begin() + static_cast<std::ptrdiff_t>(mark),
                                  unknown_.end(), [](const Unknown& u) { return !u.hard; }),
                   unknown_.end());
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

  void TooMany(const char* what) {
    Unsupported(Cur().pos, "more than " + std::to_string(kMaxParams) + " " + what);
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

  // --- expressions ---

  bool AtTupleEnd(std::string_view extra_end) const {
    return Cur().type == Tok::kVariableEnd || Cur().type == Tok::kBlockEnd || IsOp(")") ||
           (!extra_end.empty() && IsName(extra_end));
  }

  ExprPtr ParseTuple(bool with_cond, bool parenthesized, std::string_view extra_end = {}) {
    const Pos pos = Cur().pos;
    std::vector<ExprPtr> items;
    bool is_tuple = false;
    while (ok()) {
      if (!items.empty()) ExpectOp(",");
      if (AtTupleEnd(extra_end)) break;
      items.push_back(with_cond ? ParseExpr() : ParseOr());
      if (!IsOp(",")) break;
      is_tuple = true;
    }
    if (!ok()) return nullptr;
    if (!is_tuple && !items.empty()) return std::move(items[0]);
    if (!is_tuple && !parenthesized) {
      Fail(Cur().pos, "expected an expression, not " + Describe(Cur()));
      return nullptr;
    }
    ExprPtr tuple = Make(ExprKind::kTuple, pos);
    tuple->items = std::move(items);
    return tuple;
  }

  // value [if test [else value]]...
  ExprPtr ParseExpr() {
    const Depth depth(this);
    const size_t mark = unknown_.size();
    ExprPtr value = ParseOr();
    if (!ok() || !IsName("if")) return value;
    ExprPtr cond = Make(ExprKind::kCond, value->pos);
    cond->items.push_back(std::move(value));
    while (ok() && SkipName("if")) {
      cond->items.push_back(ParseOr());
      if (!SkipName("else")) {
        cond->items.push_back(nullptr);
        if (IsName("if")) {
          Unsupported(Cur().pos, "a conditional of a conditional without 'else' or parentheses");
        }
        break;
      }
      cond->items.push_back(ParseOr());
    }
    DropSoft(mark);
    return cond;
  }

  template <typename ParseNext>
  ExprPtr ParseFlat(ExprKind kind, std::string_view word, ParseNext parse_next) {
    ExprPtr first = parse_next();
    if (!ok() || !IsName(word)) return first;
    ExprPtr expr = Make(kind, first->pos);
    expr->items.push_back(std::move(first));
    while (ok() && SkipName(word)) expr->items.push_back(parse_next());
    return expr;
  }

  ExprPtr ParseOr() {
    return ParseFlat(ExprKind::kOr, "or", [this] { return ParseAnd(); });
  }
  ExprPtr ParseAnd() {
    return ParseFlat(ExprKind::kAnd, "and", [this] { return ParseNot(); });
  }

  ExprPtr ParseNot() {
    const Pos pos = Cur().pos;
    int count = 0;
    while (SkipName("not")) ++count;
    ExprPtr inner = ParseCompare();
    if (!ok() || count == 0) return inner;
    ExprPtr expr = Make(ExprKind::kNot, pos);
    expr->count = count;
    expr->items.push_back(std::move(inner));
    return expr;
  }

  bool CompareOp(Op* op) {
    static const std::map<std::string, Op> kOps = {{"==", Op::kEq}, {"!=", Op::kNe},
                                                   {"<", Op::kLt},  {"<=", Op::kLe},
                                                   {">", Op::kGt},  {">=", Op::kGe}};
    if (Cur().type == Tok::kOperator) {
      const auto it = kOps.find(Cur().text);
      if (it == kOps.end()) return false;
      *op = it->second;
      Next();
      return true;
    }
    if (SkipName("in")) {
      *op = Op::kIn;
      return true;
    }
    if (IsName("not") && Look().type == Tok::kName && Look().text == "in") {
      Next();
      Next();
      *op = Op::kNotIn;
      return true;
    }
    return false;
  }

  ExprPtr ParseCompare() {
    ExprPtr first = ParseArith(0);
    Op op;
    if (!ok() || !CompareOp(&op)) return first;
    ExprPtr expr = Make(ExprKind::kCompare, first->pos);
    expr->items.push_back(std::move(first));
    do {
      expr->ops.push_back(op);
      expr->items.push_back(ParseArith(0));
    } while (ok() && CompareOp(&op));
    return expr;
  }

  // Levels, loosest first: + -, then ~, then * / // %, then **.
  bool ArithOp(int level, Op* op) {
    static const std::map<std::string, std::pair<int, Op>> kOps = {
        {"+", {0, Op::kAdd}},  {"-", {0, Op::kSub}}, {"*", {2, Op::kMul}},
        {"/", {2, Op::kDiv}},  {"%", {2, Op::kMod}}, {"//", {2, Op::kFloorDiv}},
        {"**", {3, Op::kPow}},
    };
    if (Cur().type != Tok::kOperator) return false;
    if (level == 1) return SkipOp("~");
    const auto it = kOps.find(Cur().text);
    if (it == kOps.end() || it->second.first != level) return false;
    *op = it->second.second;
    Next();
    return true;
  }

  ExprPtr ParseArith(int level) {
    if (level == 4) return ParseUnary();
    ExprPtr first = ParseArith(level + 1);
    Op op = Op::kAdd;
    if (!ok() || !ArithOp(level, &op)) return first;
    ExprPtr expr = Make(level == 1 ? ExprKind::kConcat : ExprKind::kArith, first->pos);
    expr->items.push_back(std::move(first));
    do {
      expr->ops.push_back(op);
      expr->items.push_back(ParseArith(level + 1));
    } while (ok() && ArithOp(level, &op));
    return expr;
  }

  // Signs bind tighter than filters and looser than calls, items and attributes.
  ExprPtr ParseUnary() {
    const Pos pos = Cur().pos;
    std::string signs;
    while (IsOp("-") || IsOp("+")) {
      signs += Cur().text;
      Next();
    }
    ExprPtr expr = ParsePrimary();
    if (ok()) ParsePostfix(&expr);
    if (!ok()) return nullptr;
    if (!signs.empty()) {
      ExprPtr unary = Make(ExprKind::kUnary, pos);
      unary->signs = std::move(signs);
      unary->items.push_back(std::move(expr));
      expr = std::move(unary);
    }
    ParseFilters(&expr);
    return expr;
  }

  ExprPtr ParsePrimary() {
    const Token& token = Cur();
    if (token.type == Tok::kName) return ParseNameOrConst();
    if (token.type == Tok::kString) {
      ExprPtr expr = Make(ExprKind::kConst, token.pos);
      std::string text;
      for (; Cur().type == Tok::kString; Next()) text += Cur().text;
      expr->value = ConstString(work_, std::move(text));
      return expr;
    }
    if (token.type == Tok::kInteger || token.type == Tok::kFloat) {
      ExprPtr expr = Make(ExprKind::kConst, token.pos);
      expr->value =
          token.type == Tok::kInteger ? Value::Int(token.integer) : Value::Float(token.number);
      Next();
      return expr;
    }
    if (SkipOp("(")) {
      const Depth depth(this);
      ExprPtr expr = ok() ? ParseTuple(true, true) : nullptr;
      ExpectOp(")");
      return expr;
    }
    if (IsOp("[")) return ParseList();
    if (IsOp("{")) return ParseDict();
    Fail(token.pos, "unexpected " + Describe(token) + " in an expression");
    return nullptr;
  }

  ExprPtr ParseNameOrConst() {
    const Token& token = Cur();
    const std::string& name = token.text;
    ExprPtr expr = Make(ExprKind::kConst, token.pos);
    if (name == "true" || name == "True") {
      expr->value = Value::Bool(true);
    } else if (name == "false" || name == "False") {
      expr->value = Value::Bool(false);
    } else if (name == "none" || name == "None") {
      expr->value = Value::None();
    } else {
      expr->kind = ExprKind::kName;
      expr->symbol = Symbol(name);
      for (Signature* signature : signatures_) {
        signature->uses_caller |= name == "caller";
        signature->uses_kwargs |= name == "kwargs";
        signature->uses_varargs |= name == "varargs";
      }
    }
    Next();
    return expr;
  }

  ExprPtr ParseList() {
    ExprPtr expr = Make(ExprKind::kList, Cur().pos);
    Next();
    while (ok() && !IsOp("]")) {
      if (!expr->items.empty()) ExpectOp(",");
      if (IsOp("]")) break;
      expr->items.push_back(ParseExpr());
    }
    ExpectOp("]");
    return expr;
  }

  ExprPtr ParseDict() {
    ExprPtr expr = Make(ExprKind::kDict, Cur().pos);
    Next();
    while (ok() && !IsOp("}")) {
      if (!expr->items.empty()) ExpectOp(",");
      if (IsOp("}")) break;
      expr->items.push_back(ParseExpr());
      ExpectOp(":");
      expr->items.push_back(ParseExpr());
    }
    ExpectOp("}");
    return expr;
  }

  static Suffix* AddSuffix(ExprPtr* expr, Suffix suffix) {
    if ((*expr)->kind != ExprKind::kSuffixed) {
      ExprPtr outer = Make(ExprKind::kSuffixed, (*expr)->pos);
      outer->items.push_back(std::move(*expr));
      *expr = std::move(outer);
    }
    (*expr)->suffixes.push_back(std::move(suffix));
    return &(*expr)->suffixes.back();
  }

  void ParsePostfix(ExprPtr* expr) {
    while (ok()) {
      if (IsOp(".")) {
        ParseDot(expr);
      } else if (IsOp("[")) {
        AddSuffix(expr, ParseSubscript());
      } else if (IsOp("(")) {
        AddSuffix(expr, ParseCall());
      } else {
        break;
      }
    }
  }

  void ParseDot(ExprPtr* expr) {
    Suffix suffix{Suffix::Kind::kAttr, Cur().pos, {}, {}};
    Next();
    if (Cur().type == Tok::kInteger) {
      suffix.kind = Suffix::Kind::kItem;
      suffix.args.pos.push_back(Make(ExprKind::kConst, Cur().pos));
      suffix.args.pos[0]->value = Value::Int(Cur().integer);
      Next();
    } else {
      suffix.name = ExpectName();
    }
    AddSuffix(expr, std::move(suffix));
  }

  Suffix ParseSubscript() {
    Suffix suffix{Suffix::Kind::kItem, Cur().pos, {}, {}};
    Next();
    const Depth depth(this);
    if (!IsOp(":")) suffix.args.pos.push_back(ok() ? ParseExpr() : nullptr);
    if (IsOp(":")) {
      suffix.kind = Suffix::Kind::kSlice;
      suffix.args.pos.resize(1);
      for (int i = 0; i < 2 && ok(); ++i) {
        const bool present = SkipOp(":") && !IsOp(":") && !IsOp("]") && !IsOp(",");
        suffix.args.pos.push_back(present ? ParseExpr() : nullptr);
      }
      suffix.args.pos.resize(3);
    }
    if (IsOp(",") && suffix.kind == Suffix::Kind::kItem && ok()) {
      ExprPtr tuple = Make(ExprKind::kTuple, suffix.pos);
      tuple->items.push_back(std::move(suffix.args.pos[0]));
      while (ok() && SkipOp(",")) tuple->items.push_back(ParseExpr());
      suffix.args.pos[0] = std::move(tuple);
    }
    ExpectOp("]");
    return suffix;
  }

  Suffix ParseCall() {
    Suffix suffix{Suffix::Kind::kCall, Cur().pos, {}, {}};
    ParseCallArgs(&suffix.args);
    return suffix;
  }

  void ParseCallArgs(CallArgs* args) {
    const Pos pos = Cur().pos;
    ExpectOp("(");
    const Depth depth(this);
    bool first = true;
    while (ok() && !IsOp(")")) {
      if (!first) {
        ExpectOp(",");
        if (IsOp(")")) break;
      }
      first = false;
      bool valid = args->star_star == nullptr;
      if (SkipOp("*")) {
        valid = valid && args->star == nullptr;
        args->star = ParseExpr();
      } else if (SkipOp("**")) {
        args->star_star = ParseExpr();
      } else if (Cur().type == Tok::kName && Look().type == Tok::kOperator && Look().text == "=") {
        std::string name = ExpectName();
        Next();
        if (args->named.size() == kMaxParams) TooMany("keyword arguments");
        for (const auto& [other, unused] : args->named) valid = valid && other != name;
        args->named.emplace_back(std::move(name), ParseExpr());
      } else {
        valid = valid && args->star == nullptr && args->named.empty();
        args->pos.push_back(ParseExpr());
      }
      if (!valid) Fail(pos, "arguments of a call in an order that is not allowed");
    }
    ExpectOp(")");
  }

  std::string DottedName() {
    std::string name = ExpectName();
    while (ok() && SkipOp(".")) (name += '.') += ExpectName();
    return name;
  }

  // After the '|'.
  Suffix ParseFilter() {
    Suffix suffix{Suffix::Kind::kFilter, Cur().pos, {}, {}};
    suffix.name = DottedName();
    if (ok() && !KnownFilter(suffix.name)) {
      unknown_.push_back({suffix.pos, UnknownFilterMessage(suffix.name)});
    }
    if (IsOp("(")) ParseCallArgs(&suffix.args);
    return suffix;
  }

  void ParseFilters(ExprPtr* expr) {
    while (ok()) {
      if (SkipOp("|")) {
        AddSuffix(expr, ParseFilter());
      } else if (IsName("is")) {
        AddSuffix(expr, ParseTest());
      } else if (IsOp("(")) {
        AddSuffix(expr, ParseCall());
      } else {
        break;
      }
    }
  }

  Suffix ParseTest() {
    Suffix suffix{Suffix::Kind::kTest, Cur().pos, {}, {}};
    Next();
    if (SkipName("not")) suffix.kind = Suffix::Kind::kNotTest;
    suffix.name = DottedName();
    if (ok() && !KnownTest(suffix.name)) {
      unknown_.push_back({suffix.pos, "unknown test '" + suffix.name + "'"});
    }
    if (IsOp("(")) {
      ParseCallArgs(&suffix.args);
      return suffix;
    }
    const bool word =
        Cur().type == Tok::kName && !IsName("else") && !IsName("or") && !IsName("and");
    const bool literal = Cur().type == Tok::kString || Cur().type == Tok::kInteger ||
                         Cur().type == Tok::kFloat || IsOp("[") || IsOp("{");
    if (!word && !literal) return suffix;
    if (IsName("is")) {
      Fail(Cur().pos, "tests cannot be chained with 'is'");
      return suffix;
    }
    ExprPtr arg = ParsePrimary();
    if (ok()) ParsePostfix(&arg);
    suffix.args.pos.push_back(std::move(arg));
    return suffix;
  }

  std::deque<Token> tokens_;
  const TemplateLimits limits_;
  WorkMeter* const work_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;
  Status status_;
  std::map<std::string, int> symbols_;
  std::vector<Signature*> signatures_;
  std::vector<Unknown> unknown_;
};

}  // namespace

Result<std::unique_ptr<Template>> ParseTemplate(const std::string& source,
                                                const TemplateLimits& limits, WorkMeter* work) {
  LULL_ASSIGN_OR_RETURN(std::deque<Token> tokens, Tokenize(source, limits.max_depth, work));
  return Parser(std::move(tokens), limits, work).Run();
}

}  // namespace lull::jinja
