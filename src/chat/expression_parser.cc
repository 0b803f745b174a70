#include "chat/expression_parser.h"

#include <algorithm>
#include <map>

#include "chat/filters.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

using ExprKind = Expr::Kind;

Value ConstString(WorkMeter* work, std::string text) {
  auto object = std::make_shared<StringObject>();
  object->length = CodePoints(work, text);
  object->text = std::move(text);
  return Value::Of(Kind::kString, std::move(object));
}

}  // namespace

void ExpressionParser::Fail(Pos pos, std::string message, ErrorCode code) {
  if (!ok()) return;
  status_ = Status(code, std::move(message),
                   "line " + std::to_string(pos.line) + ", column " + std::to_string(pos.column));
}

bool ExpressionParser::SkipOp(std::string_view op) {
  if (!IsOp(op)) return false;
  Next();
  return true;
}

bool ExpressionParser::SkipName(std::string_view name) {
  if (!IsName(name)) return false;
  Next();
  return true;
}

void ExpressionParser::ExpectOp(std::string_view op) {
  if (!SkipOp(op)) Fail(Cur().pos, "expected '" + std::string(op) + "', not " + Describe(Cur()));
}

void ExpressionParser::Expect(Tok type, const char* what) {
  if (Cur().type != type) {
    return Fail(Cur().pos, std::string("expected ") + what + ", not " + Describe(Cur()));
  }
  Next();
}

std::string ExpressionParser::ExpectName() {
  if (Cur().type != Tok::kName) {
    Fail(Cur().pos, "expected a name, not " + Describe(Cur()));
    return {};
  }
  std::string name = Cur().text;
  Next();
  return name;
}

ExprPtr ExpressionParser::Make(Expr::Kind kind, Pos pos) {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->pos = pos;
  return expr;
}

std::string ExpressionParser::Describe(const Token& token) {
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

void ExpressionParser::DropSoft(size_t mark) {
  unknown_.erase(std::remove_if(unknown_.begin() + static_cast<std::ptrdiff_t>(mark),
                                unknown_.end(), [](const Unknown& u) { return !u.hard; }),
                 unknown_.end());
}

void ExpressionParser::TooMany(const char* what) {
  Unsupported(Cur().pos, "more than " + std::to_string(kMaxParams) + " " + what);
}

bool ExpressionParser::AtTupleEnd(std::string_view extra_end) const {
  return Cur().type == Tok::kVariableEnd || Cur().type == Tok::kBlockEnd || IsOp(")") ||
         (!extra_end.empty() && IsName(extra_end));
}

ExprPtr ExpressionParser::ParseTuple(bool with_cond, bool parenthesized,
                                     std::string_view extra_end) {
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
ExprPtr ExpressionParser::ParseExpr() {
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
ExprPtr ExpressionParser::ParseFlat(ExprKind kind, std::string_view word, ParseNext parse_next) {
  ExprPtr first = parse_next();
  if (!ok() || !IsName(word)) return first;
  ExprPtr expr = Make(kind, first->pos);
  expr->items.push_back(std::move(first));
  while (ok() && SkipName(word)) expr->items.push_back(parse_next());
  return expr;
}

ExprPtr ExpressionParser::ParseOr() {
  return ParseFlat(ExprKind::kOr, "or", [this] { return ParseAnd(); });
}
ExprPtr ExpressionParser::ParseAnd() {
  return ParseFlat(ExprKind::kAnd, "and", [this] { return ParseNot(); });
}

ExprPtr ExpressionParser::ParseNot() {
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

bool ExpressionParser::CompareOp(Op* op) {
  static const std::map<std::string, Op> kOps = {{"==", Op::kEq}, {"!=", Op::kNe}, {"<", Op::kLt},
                                                 {"<=", Op::kLe}, {">", Op::kGt},  {">=", Op::kGe}};
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

ExprPtr ExpressionParser::ParseCompare() {
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
bool ExpressionParser::ArithOp(int level, Op* op) {
  static const std::map<std::string, std::pair<int, Op>> kOps = {
      {"+", {0, Op::kAdd}}, {"-", {0, Op::kSub}},       {"*", {2, Op::kMul}},  {"/", {2, Op::kDiv}},
      {"%", {2, Op::kMod}}, {"//", {2, Op::kFloorDiv}}, {"**", {3, Op::kPow}},
  };
  if (Cur().type != Tok::kOperator) return false;
  if (level == 1) return SkipOp("~");
  const auto it = kOps.find(Cur().text);
  if (it == kOps.end() || it->second.first != level) return false;
  *op = it->second.second;
  Next();
  return true;
}

ExprPtr ExpressionParser::ParseArith(int level) {
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
ExprPtr ExpressionParser::ParseUnary() {
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

ExprPtr ExpressionParser::ParsePrimary() {
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

ExprPtr ExpressionParser::ParseNameOrConst() {
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

ExprPtr ExpressionParser::ParseList() {
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

ExprPtr ExpressionParser::ParseDict() {
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

Suffix* ExpressionParser::AddSuffix(ExprPtr* expr, Suffix suffix) {
  if ((*expr)->kind != ExprKind::kSuffixed) {
    ExprPtr outer = Make(ExprKind::kSuffixed, (*expr)->pos);
    outer->items.push_back(std::move(*expr));
    *expr = std::move(outer);
  }
  (*expr)->suffixes.push_back(std::move(suffix));
  return &(*expr)->suffixes.back();
}

void ExpressionParser::ParsePostfix(ExprPtr* expr) {
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

void ExpressionParser::ParseDot(ExprPtr* expr) {
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

Suffix ExpressionParser::ParseSubscript() {
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

Suffix ExpressionParser::ParseCall() {
  Suffix suffix{Suffix::Kind::kCall, Cur().pos, {}, {}};
  ParseCallArgs(&suffix.args);
  return suffix;
}

void ExpressionParser::ParseCallArgs(CallArgs* args) {
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

std::string ExpressionParser::DottedName() {
  std::string name = ExpectName();
  while (ok() && SkipOp(".")) (name += '.') += ExpectName();
  return name;
}

// After the '|'.
Suffix ExpressionParser::ParseFilter() {
  Suffix suffix{Suffix::Kind::kFilter, Cur().pos, {}, {}};
  suffix.name = DottedName();
  if (ok() && !KnownFilter(suffix.name)) {
    unknown_.push_back({suffix.pos, UnknownFilterMessage(suffix.name)});
  }
  if (IsOp("(")) ParseCallArgs(&suffix.args);
  return suffix;
}

void ExpressionParser::ParseFilters(ExprPtr* expr) {
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

Suffix ExpressionParser::ParseTest() {
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
  const bool word = Cur().type == Tok::kName && !IsName("else") && !IsName("or") && !IsName("and");
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

}  // namespace lull::jinja
