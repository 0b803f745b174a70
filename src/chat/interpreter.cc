#include "chat/interpreter.h"

#include <algorithm>
#include <map>

#include "chat/filters.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

using ExprKind = Expr::Kind;
using StmtKind = Stmt::Kind;
using SuffixKind = Suffix::Kind;

// Nested evaluations, a multiple of the source nesting limit: macros may call macros.
constexpr int kRunDepthFactor = 8;
// What is left of the smallest thread's stack is never used up, whatever the frames of a build.
constexpr int64_t kStackBytes = 160 * 1024;

using Variable = std::pair<int, Value>;  // symbol and value
using Variables = std::vector<Variable, PacedAllocator<Variable>>;

// Variables of one block. Macros keep the scopes they were defined in.
struct Scope : Object {
  Variables vars;
  std::shared_ptr<Scope> parent;
  bool captured = false;
};

struct MacroObject : Object {
  std::string name;
  const Signature* signature = nullptr;
  const Body* body = nullptr;
  std::shared_ptr<Scope> scope;
};

enum class Flow { kNormal, kBreak, kContinue };

class Interpreter {
 public:
  Interpreter(const Template& source, Run& run) : source_(source), run_(run) {
    stack_base_ = StackPointer();
    for (size_t i = 0; i < source.symbols.size(); ++i) {
      symbols_.emplace(source.symbols[i], static_cast<int>(i));
    }
  }

  ~Interpreter() {
    // Scopes and namespaces can hold each other through macros.
    for (auto& scope : captured_) {
      run_.work()->Spend(4);
      scope->vars.clear();
    }
    for (auto& space : run_.namespaces) {
      run_.work()->Spend(4);
      space->vars.clear();
    }
    for (auto& scope : captured_) {
      run_.work()->Spend(4);
      scope->parent.reset();
    }
    for (; !captured_.empty(); captured_.pop_back()) run_.work()->Spend(4);
    for (; !run_.namespaces.empty(); run_.namespaces.pop_back()) run_.work()->Spend(4);
  }

  std::string Render(const std::vector<std::pair<std::string, Value>>& variables) {
    scope_ = std::make_shared<Scope>();
    for (const auto& [name, value] : variables) {
      const int symbol = SymbolOf(name);
      if (symbol >= 0) scope_->vars.emplace_back(symbol, value);
    }
    scope_ = NewScope(scope_);
    std::string out;
    ExecBody(source_.body, &out);
    scope_.reset();
    return out;
  }

 private:
  // --- limits ---

  static char* StackPointer() { return static_cast<char*>(__builtin_frame_address(0)); }

  class Depth {
   public:
    explicit Depth(Interpreter* in) : in_(in) {
      const int64_t used = in->stack_base_ - StackPointer();
      if (++in->depth_ > kRunDepthFactor * in->run_.limits().max_depth || used > kStackBytes) {
        in->run_.Fail(ErrorCode::kInvalidInput, "calls and blocks nested too deep when run",
                      "a macro that calls itself without end?");
      }
    }
    ~Depth() { --in_->depth_; }

   private:
    Interpreter* in_;
  };

  bool ok() const { return run_.ok(); }

  void Emit(std::string_view text, std::string* out) {
    if (!run_.CheckStringSize(static_cast<int64_t>(out->size() + text.size()))) return;
    if (run_.Work(static_cast<int64_t>(text.size()))) AppendPaced(run_.work(), text, out);
  }

  // --- scopes ---

  int SymbolOf(const std::string& name) const {
    const auto it = symbols_.find(name);
    return it == symbols_.end() ? -1 : it->second;
  }

  std::shared_ptr<Scope> NewScope(std::shared_ptr<Scope> parent) {
    auto scope = std::make_shared<Scope>();
    scope->parent = std::move(parent);
    run_.Hold(scope.get(), sizeof(Scope));
    return scope;
  }

  // Scopes are small; where one is not, looking through it costs steps.
  void ChargeScan(const Scope& scope) { run_.Step(static_cast<int64_t>(scope.vars.size()) / 32); }

  void Set(int symbol, Value value) {
    ChargeScan(*scope_);
    for (auto& [name, old] : scope_->vars) {
      if (name == symbol) {
        old = std::move(value);
        return;
      }
    }
    scope_->vars.emplace_back(symbol, std::move(value));
  }

  const Value* Find(int symbol) {
    for (Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
      ChargeScan(*scope);
      for (const auto& [name, value] : scope->vars) {
        if (name == symbol) return &value;
      }
    }
    return nullptr;
  }

  Value Lookup(const Expr& expr) {
    const Value* value = Find(expr.symbol);
    if (value != nullptr) return *value;
    const std::string& name = source_.symbols[static_cast<size_t>(expr.symbol)];
    if (KnownGlobal(name)) {
      auto function = run_.New<FunctionObject>(static_cast<int64_t>(name.size()));
      if (function == nullptr) return Value();
      function->name = name;
      return Value::Of(Kind::kFunction, std::move(function));
    }
    return run_.Undefined("'" + name + "' is undefined");
  }

  class InScope {
   public:
    InScope(Interpreter* in, std::shared_ptr<Scope> scope)
        : in_(in), saved_(std::exchange(in->scope_, std::move(scope))) {}
    ~InScope() { in_->scope_ = std::move(saved_); }

   private:
    Interpreter* in_;
    std::shared_ptr<Scope> saved_;
  };

  // --- statements ---

  Flow ExecBody(const Body& body, std::string* out) {
    const Depth depth(this);
    for (const auto& stmt : body) {
      if (!run_.Step()) break;
      const Flow flow = Exec(*stmt, out);
      if (flow != Flow::kNormal) return flow;
    }
    return Flow::kNormal;
  }

  Flow Exec(const Stmt& stmt, std::string* out) {
    switch (stmt.kind) {
      case StmtKind::kText:
        Emit(stmt.text, out);
        break;
      case StmtKind::kPrint:
        Print(stmt, out);
        break;
      case StmtKind::kIf:
        return ExecIf(stmt, out);
      case StmtKind::kFor:
        ExecFor(stmt, Value(), false, 0, out);
        break;
      case StmtKind::kSet: {
        Value value = Eval(*stmt.exprs[0]);
        if (ok()) Assign(stmt.targets[0], value);
        break;
      }
      case StmtKind::kSetBlock: {
        Value value = FilteredBody(stmt);
        if (ok()) Assign(stmt.targets[0], value);
        break;
      }
      case StmtKind::kMacro:
        Set(stmt.symbol, MakeMacro(stmt.text, stmt));
        break;
      case StmtKind::kCall:
        ExecCall(stmt, out);
        break;
      case StmtKind::kFilter: {
        const Value value = FilteredBody(stmt);
        if (ok()) Emit(Str(run_, value), out);
        break;
      }
      case StmtKind::kWith:
        ExecWith(stmt, out);
        break;
      case StmtKind::kGeneration: {
        const InScope inner(this, NewScope(scope_));
        ExecBody(stmt.bodies[0], out);
        break;
      }
      case StmtKind::kBreak:
        return Flow::kBreak;
      case StmtKind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kNormal;
  }

  void Print(const Stmt& stmt, std::string* out) {
    for (const ExprPtr& expr : stmt.exprs) {
      const Value value = Eval(*expr);
      if (!ok()) return;
      run_.At(expr->pos, "output");
      if (value.is(Kind::kString)) {
        Emit(value.text(), out);
      } else {
        Emit(Str(run_, value), out);
      }
    }
  }

  Flow ExecIf(const Stmt& stmt, std::string* out) {
    for (size_t i = 0; i < stmt.exprs.size(); ++i) {
      const Value test = Eval(*stmt.exprs[i]);
      if (!ok()) return Flow::kNormal;
      if (Truthy(test)) return ExecBody(stmt.bodies[i], out);
    }
    if (stmt.bodies.size() > stmt.exprs.size()) return ExecBody(stmt.bodies.back(), out);
    return Flow::kNormal;
  }

  void Assign(const Target& target, const Value& value) {
    run_.At(target.pos, "assignment");
    if (target.tuple) return Unpack(target, value);
    if (target.attribute.empty()) return Set(target.symbol, value);
    const Value* space = Find(target.symbol);
    if (space == nullptr || !space->is(Kind::kNamespace)) {
      run_.TypeError("cannot assign an attribute of what is not a namespace");
      return;
    }
    auto& vars = space->as<NamespaceObject>().vars;
    run_.Step(static_cast<int64_t>(vars.size()) / 32);
    for (auto& [name, old] : vars) {
      if (name == target.attribute) {
        old = value;
        return;
      }
    }
    vars.emplace_back(target.attribute, value);
  }

  void Unpack(const Target& target, const Value& value) {
    const Depth depth(this);
    Values items;
    if (!ok() || !Iterate(run_, value, &items)) return;
    if (items.size() != target.items.size()) {
      run_.TypeError("cannot unpack " + std::to_string(items.size()) + " values into " +
                     std::to_string(target.items.size()) + " names");
      return;
    }
    for (size_t i = 0; i < items.size() && ok(); ++i) Assign(target.items[i], items[i]);
  }

  // The elements a `for` walks, after its condition.
  bool LoopItems(const Stmt& stmt, const Value* given, Values* items) {
    const Value iterable = given != nullptr ? *given : Eval(*stmt.exprs[0]);
    run_.At(stmt.pos, "for");
    if (!ok() || !Iterate(run_, iterable, items)) return false;
    if (stmt.exprs[1] == nullptr) return true;
    Values kept;
    for (Value& item : *items) {
      const InScope inner(this, NewScope(scope_));
      Assign(stmt.targets[0], item);
      const Value test = ok() ? Eval(*stmt.exprs[1]) : Value();
      if (!ok()) return false;
      if (Truthy(test)) kept.push_back(std::move(item));
    }
    *items = std::move(kept);
    return true;
  }

  void ExecFor(const Stmt& stmt, const Value& given, bool recursed, int loop_depth,
               std::string* out) {
    Values items;
    if (!LoopItems(stmt, recursed ? &given : nullptr, &items)) return;
    if (items.empty()) {
      if (stmt.bodies.size() < 2) return;
      const InScope inner(this, NewScope(scope_));
      ExecBody(stmt.bodies[1], out);
      return;
    }
    auto loop = run_.New<LoopObject>(static_cast<int64_t>(items.size() * sizeof(Value)));
    if (loop == nullptr || !run_.Nest(loop.get(), items)) return;
    loop->items = std::move(items);
    loop->depth_of_loop = loop_depth;
    if (stmt.recursive) {
      loop->recursive = &stmt;
      loop->recursive_scope = scope_;
      Capture(scope_);
    }
    const int loop_symbol = SymbolOf("loop");
    for (; loop->index < loop->items.size() && run_.Step(); ++loop->index) {
      const InScope inner(this, NewScope(scope_));
      Assign(stmt.targets[0], loop->items[loop->index]);
      if (loop_symbol >= 0) Set(loop_symbol, Value::Of(Kind::kLoop, loop));
      if (!ok() || ExecBody(stmt.bodies[0], out) == Flow::kBreak) break;
    }
  }

  Value FilteredBody(const Stmt& stmt) {
    std::string text;
    {
      const InScope inner(this, NewScope(scope_));
      ExecBody(stmt.bodies[0], &text);
    }
    Value value = run_.String(std::move(text));
    for (const Suffix& filter : stmt.filters) {
      if (!ok()) break;
      value = EvalFilter(filter, value);
    }
    return value;
  }

  void ExecWith(const Stmt& stmt, std::string* out) {
    Values values;
    for (const ExprPtr& expr : stmt.exprs) {
      values.push_back(Eval(*expr));
      if (!ok()) return;
    }
    const InScope inner(this, NewScope(scope_));
    for (size_t i = 0; i < values.size() && ok(); ++i) Assign(stmt.targets[i], values[i]);
    if (ok()) ExecBody(stmt.bodies[0], out);
  }

  // --- macros ---

  // From here on the scope may be part of a cycle; it is emptied at the end.
  void Capture(const std::shared_ptr<Scope>& scope) {
    for (std::shared_ptr<Scope> s = scope; s != nullptr && !s->captured; s = s->parent) {
      s->captured = true;
      captured_.push_back(s);
    }
  }

  Value MakeMacro(const std::string& name, const Stmt& stmt) {
    auto macro = run_.New<MacroObject>(static_cast<int64_t>(name.size()));
    if (macro == nullptr) return Value();
    macro->name = name;
    macro->signature = &stmt.signature;
    macro->body = &stmt.bodies[0];
    macro->scope = scope_;
    Capture(scope_);
    return Value::Of(Kind::kMacro, std::move(macro));
  }

  void ExecCall(const Stmt& stmt, std::string* out) {
    const Value caller = MakeMacro("caller", stmt);
    const Expr& call = *stmt.exprs[0];
    const Value callee = EvalSuffixes(call, call.suffixes.size() - 1);
    const Suffix& last = call.suffixes.back();
    Args args;
    if (!ok() || !EvalArgs(last.args, &args)) return;
    args.named.emplace_back("caller", caller);
    run_.At(last.pos, "call");
    const Value result = Call(callee, args);
    if (ok()) Emit(Str(run_, result), out);
  }

  bool BindMacro(const MacroObject& macro, const Args& args, std::vector<const Value*>* bound) {
    const Signature& sig = *macro.signature;
    bound->assign(sig.params.size(), nullptr);
    for (size_t i = 0; i < args.pos.size() && i < bound->size(); ++i) (*bound)[i] = &args.pos[i];
    if (args.pos.size() > bound->size() && !sig.uses_varargs) {
      run_.TypeError("macro '" + macro.name + "' takes not more than " +
                     std::to_string(bound->size()) + " argument(s)");
      return false;
    }
    for (const auto& [name, value] : args.named) {
      if (!run_.Step(1 + static_cast<int64_t>(sig.names.size()) / 16)) return false;
      const auto it = std::find(sig.names.begin(), sig.names.end(), name);
      const size_t i = static_cast<size_t>(it - sig.names.begin());
      if (it != sig.names.end() && (*bound)[i] == nullptr) {
        (*bound)[i] = &value;
      } else if (!(name == "caller" && sig.uses_caller) && !sig.uses_kwargs) {
        run_.TypeError("macro '" + macro.name + "' takes no keyword argument '" + name + "'");
        return false;
      }
    }
    return true;
  }

  Value CallMacro(const MacroObject& macro, const Args& args) {
    const Depth depth(this);
    const Signature& sig = *macro.signature;
    std::vector<const Value*> bound;
    if (!ok() || !BindMacro(macro, args, &bound)) return Value();
    const InScope inner(this, NewScope(macro.scope));
    const size_t required = sig.params.size() - sig.defaults.size();
    for (size_t i = 0; i < sig.params.size() && ok(); ++i) {
      if (bound[i] != nullptr) {
        Set(sig.params[i], *bound[i]);
      } else if (i >= required) {
        Set(sig.params[i], Eval(*sig.defaults[i - required]));
      } else {
        Set(sig.params[i], run_.Undefined("parameter '" + sig.names[i] + "' was not provided"));
      }
    }
    SetSpecialParams(sig, args);
    std::string out;
    if (ok()) ExecBody(*macro.body, &out);
    return ok() ? run_.String(std::move(out)) : Value();
  }

  bool IsParam(const Signature& sig, const std::string& name) const {
    return std::find(sig.names.begin(), sig.names.end(), name) != sig.names.end();
  }

  void SetSpecialParams(const Signature& sig, const Args& args) {
    if (sig.uses_caller && !IsParam(sig, "caller")) {
      Value caller = run_.Undefined("No caller defined");
      for (const auto& [name, value] : args.named) {
        if (name == "caller") caller = value;
      }
      Set(SymbolOf("caller"), caller);
    }
    if (sig.uses_kwargs && !IsParam(sig, "kwargs")) {
      auto dict = run_.NewDict();
      for (const auto& [name, value] : args.named) {
        if (IsParam(sig, name) || (name == "caller" && sig.uses_caller)) continue;
        if (!run_.Put(*dict, run_.String(name), value)) return;
      }
      Set(SymbolOf("kwargs"), run_.FinishDict(std::move(dict)));
    }
    if (sig.uses_varargs && !IsParam(sig, "varargs")) {
      Values rest;
      for (size_t i = sig.params.size(); i < args.pos.size(); ++i) rest.push_back(args.pos[i]);
      Set(SymbolOf("varargs"), run_.Tuple(std::move(rest)));
    }
  }

  Value Call(const Value& callee, const Args& args) {
    switch (callee.kind()) {
      case Kind::kMacro:
        return CallMacro(callee.as<MacroObject>(), args);
      case Kind::kMethod:
        return CallMethod(run_, callee.as<MethodObject>(), args);
      case Kind::kFunction:
        return CallGlobal(run_, callee.as<FunctionObject>().name, args);
      case Kind::kLoop:
        return CallLoop(callee.as<LoopObject>(), args);
      case Kind::kJoiner: {
        auto& joiner = callee.as<JoinerObject>();
        return run_.String(std::exchange(joiner.used, true) ? joiner.separator : "");
      }
      case Kind::kUndefined:
        return run_.TypeError(callee.object() == nullptr ? "calling an undefined value"
                                                         : callee.as<UndefinedObject>().message);
      default:
        return run_.TypeError(std::string("'") + TypeName(callee) + "' object is not callable");
    }
  }

  Value CallLoop(const LoopObject& loop, const Args& args) {
    if (loop.recursive == nullptr) {
      return run_.TypeError("the loop is not marked 'recursive' and cannot be called");
    }
    if (args.pos.size() != 1 || !args.named.empty()) {
      return run_.TypeError("loop() takes one argument");
    }
    const Depth depth(this);
    const InScope inner(this, std::static_pointer_cast<Scope>(loop.recursive_scope));
    std::string out;
    if (ok()) {
      ExecFor(*static_cast<const Stmt*>(loop.recursive), args.pos[0], true, loop.depth_of_loop + 1,
              &out);
    }
    return ok() ? run_.String(std::move(out)) : Value();
  }

  // --- expressions ---

  Value Eval(const Expr& expr) {
    if (!run_.Step()) return Value();
    switch (expr.kind) {
      case ExprKind::kConst:
        return expr.value;
      case ExprKind::kName:
        return Lookup(expr);
      default:
        break;
    }
    const Depth depth(this);
    if (!ok()) return Value();
    switch (expr.kind) {
      case ExprKind::kList:
      case ExprKind::kTuple:
        return EvalItems(expr);
      case ExprKind::kDict:
        return EvalDict(expr);
      case ExprKind::kArith:
        return EvalArith(expr);
      case ExprKind::kCompare:
        return EvalCompare(expr);
      case ExprKind::kConcat:
        return EvalConcat(expr);
      case ExprKind::kAnd:
      case ExprKind::kOr:
        return EvalLogic(expr);
      case ExprKind::kNot: {
        const bool truth = Truthy(Eval(*expr.items[0]));
        return Value::Bool(truth == (expr.count % 2 == 0));
      }
      case ExprKind::kUnary:
        return EvalUnary(expr);
      case ExprKind::kCond:
        return EvalCond(expr);
      default:
        return EvalSuffixes(expr, expr.suffixes.size());
    }
  }

  Value EvalItems(const Expr& expr) {
    Values items;
    items.reserve(expr.items.size());
    for (const ExprPtr& item : expr.items) {
      items.push_back(Eval(*item));
      if (!ok()) return Value();
    }
    run_.At(expr.pos, "list");
    return expr.kind == ExprKind::kList ? run_.List(std::move(items))
                                        : run_.Tuple(std::move(items));
  }

  Value EvalDict(const Expr& expr) {
    auto dict = run_.NewDict();
    for (size_t i = 0; i < expr.items.size(); i += 2) {
      Value key = Eval(*expr.items[i]);
      Value value = Eval(*expr.items[i + 1]);
      run_.At(expr.pos, "dict");
      if (!ok() || !run_.Put(*dict, std::move(key), std::move(value))) return Value();
    }
    return run_.FinishDict(std::move(dict));
  }

  Value EvalArith(const Expr& expr) {
    Value value = Eval(*expr.items[0]);
    for (size_t i = 0; i < expr.ops.size() && ok(); ++i) {
      const Value right = Eval(*expr.items[i + 1]);
      if (!ok()) return Value();
      run_.At(expr.items[i + 1]->pos, "operator");
      value = Arith(expr.ops[i], value, right);
    }
    return value;
  }

  Value Arith(Op op, const Value& a, const Value& b) {
    switch (op) {
      case Op::kAdd:
        return Add(run_, a, b);
      case Op::kSub:
        return Subtract(run_, a, b);
      case Op::kMul:
        return Multiply(run_, a, b);
      case Op::kDiv:
        return Divide(run_, a, b);
      case Op::kFloorDiv:
        return FloorDivide(run_, a, b);
      case Op::kMod:
        return Modulo(run_, a, b);
      default:
        return Power(run_, a, b);
    }
  }

  Value EvalCompare(const Expr& expr) {
    Value left = Eval(*expr.items[0]);
    for (size_t i = 0; i < expr.ops.size() && ok(); ++i) {
      Value right = Eval(*expr.items[i + 1]);
      if (!ok()) return Value();
      run_.At(expr.items[i + 1]->pos, "comparison");
      if (!Compare(expr.ops[i], left, right)) return Value::Bool(false);
      left = std::move(right);
    }
    return Value::Bool(true);
  }

  bool Compare(Op op, const Value& a, const Value& b) {
    switch (op) {
      case Op::kEq:
        return Equal(run_, a, b);
      case Op::kNe:
        return !Equal(run_, a, b);
      case Op::kIn:
        return Contains(run_, b, a);
      case Op::kNotIn:
        return !Contains(run_, b, a);
      case Op::kLt:
        return Order(run_, a, b, "<") == -1;
      case Op::kGt:
        return Order(run_, a, b, ">") == 1;
      case Op::kLe: {
        const int order = Order(run_, a, b, "<=");
        return order == -1 || order == 0;
      }
      default: {
        const int order = Order(run_, a, b, ">=");
        return order == 1 || order == 0;
      }
    }
  }

  Value EvalConcat(const Expr& expr) {
    std::string text;
    for (const ExprPtr& item : expr.items) {
      const Value value = Eval(*item);
      if (!ok()) return Value();
      run_.At(item->pos, "operator '~'");
      if (value.is(Kind::kString)) {
        AppendPaced(run_.work(), value.text(), &text);
      } else {
        AppendPaced(run_.work(), Str(run_, value), &text);
      }
      if (!run_.CheckStringSize(static_cast<int64_t>(text.size()))) return Value();
    }
    return run_.String(std::move(text));
  }

  Value EvalLogic(const Expr& expr) {
    const bool stop_at = expr.kind == ExprKind::kOr;
    Value value;
    for (const ExprPtr& item : expr.items) {
      value = Eval(*item);
      if (!ok() || Truthy(value) == stop_at) break;
    }
    return value;
  }

  Value EvalUnary(const Expr& expr) {
    Value value = Eval(*expr.items[0]);
    run_.At(expr.pos, "operator");
    for (auto sign = expr.signs.rbegin(); sign != expr.signs.rend() && run_.Step(); ++sign) {
      value = Negate(run_, value, *sign);
    }
    return value;
  }

  Value EvalCond(const Expr& expr) {
    size_t i = 0;
    for (; i + 1 < expr.items.size(); i += 2) {
      const Value test = Eval(*expr.items[i + 1]);
      if (!ok()) return Value();
      if (Truthy(test)) return Eval(*expr.items[i]);
    }
    if (expr.items[i] != nullptr) return Eval(*expr.items[i]);
    return run_.Undefined(
        "the inline if-expression evaluated to false and no else section was defined");
  }

  // --- suffixes: attributes, items, calls, filters, tests ---

  Value EvalSuffixes(const Expr& expr, size_t count) {
    Value value = Eval(*expr.items[0]);
    for (size_t i = 0; i < count && run_.Step(); ++i) {
      value = EvalSuffix(expr.suffixes[i], value);
    }
    return value;
  }

  Value EvalSuffix(const Suffix& suffix, const Value& value) {
    switch (suffix.kind) {
      case SuffixKind::kAttr:
        run_.At(suffix.pos, "attribute", suffix.name);
        return GetAttr(run_, value, suffix.name);
      case SuffixKind::kItem: {
        const Value key = Eval(*suffix.args.pos[0]);
        run_.At(suffix.pos, "item");
        return ok() ? GetItem(run_, value, key) : Value();
      }
      case SuffixKind::kSlice:
        return EvalSlice(suffix, value);
      case SuffixKind::kCall: {
        Args args;
        if (!EvalArgs(suffix.args, &args)) return Value();
        run_.At(suffix.pos, "call");
        return Call(value, args);
      }
      case SuffixKind::kFilter:
        return EvalFilter(suffix, value);
      default:
        return EvalTest(suffix, value);
    }
  }

  Value EvalSlice(const Suffix& suffix, const Value& value) {
    Value bounds[3];
    for (size_t i = 0; i < 3; ++i) {
      bounds[i] = suffix.args.pos[i] == nullptr ? Value::None() : Eval(*suffix.args.pos[i]);
    }
    run_.At(suffix.pos, "slice");
    return ok() ? Slice(run_, value, bounds[0], bounds[1], bounds[2]) : Value();
  }

  Value EvalFilter(const Suffix& suffix, const Value& value) {
    Args args;
    if (!EvalArgs(suffix.args, &args)) return Value();
    run_.At(suffix.pos, "filter", suffix.name);
    return ApplyFilter(run_, suffix.name, value, args);
  }

  Value EvalTest(const Suffix& suffix, const Value& value) {
    Args args;
    if (!EvalArgs(suffix.args, &args)) return Value();
    run_.At(suffix.pos, "test", suffix.name);
    const bool passed = ApplyTest(run_, suffix.name, value, args);
    return Value::Bool(passed == (suffix.kind == SuffixKind::kTest));
  }

  bool EvalArgs(const CallArgs& call, Args* args) {
    for (const ExprPtr& expr : call.pos) {
      args->pos.push_back(Eval(*expr));
      if (!ok()) return false;
    }
    for (const auto& [name, expr] : call.named) {
      args->named.emplace_back(name, Eval(*expr));
      if (!ok()) return false;
    }
    if (call.star != nullptr) {
      Values more;
      if (!Iterate(run_, Eval(*call.star), &more)) return false;
      args->pos.insert(args->pos.end(), more.begin(), more.end());
    }
    return call.star_star == nullptr || EvalStarStar(*call.star_star, args);
  }

  bool EvalStarStar(const Expr& expr, Args* args) {
    const Value dict = Eval(expr);
    if (!ok()) return false;
    run_.At(expr.pos, "call");
    if (!dict.is(Kind::kDict)) {
      run_.TypeError("the argument after ** must be a mapping");
      return false;
    }
    for (const auto& [key, value] : dict.as<DictObject>().entries()) {
      const auto given = static_cast<int64_t>(args->named.size());
      bool valid = run_.Step(1 + given / 16) && key.is(Kind::kString);
      for (const auto& [name, unused] : args->named) valid = valid && name != key.text();
      if (!valid) {
        run_.TypeError("keywords must be strings, and each given once");
        return false;
      }
      args->named.emplace_back(key.text(), value);
    }
    return true;
  }

  const Template& source_;
  Run& run_;
  char* stack_base_ = nullptr;
  int depth_ = 0;
  std::map<std::string, int, std::less<>, PacedAllocator<std::pair<const std::string, int>>>
      symbols_;
  std::shared_ptr<Scope> scope_;
  std::vector<std::shared_ptr<Scope>> captured_;
};

}  // namespace

std::string Execute(const Template& source, Run& run,
                    const std::vector<std::pair<std::string, Value>>& variables) {
  return Interpreter(source, run).Render(variables);
}

}  // namespace lull::jinja
