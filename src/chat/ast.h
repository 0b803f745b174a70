// The parsed template. Chains of one precedence are flat lists, so depth is the source's nesting.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "chat/value.h"

namespace lull::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArgs {
  std::vector<ExprPtr> pos;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, star_star;
};

enum class Op : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFloorDiv,
  kMod,
  kPow,
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kIn,
  kNotIn,
};

struct Suffix {
  enum class Kind : uint8_t { kAttr, kItem, kSlice, kCall, kFilter, kTest, kNotTest };
  Kind kind;
  Pos pos;
  std::string name;
  CallArgs args;  // kItem: pos[0]; kSlice: pos = start, stop, step, each may be null
};

struct Expr {
  enum class Kind : uint8_t {
    kConst,
    kName,
    kList,
    kTuple,
    kDict,     // items: key, value, ...
    kArith,    // items[0] ops[0] items[1] ...
    kCompare,  // the same, Python's chained comparison
    kConcat,
    kAnd,
    kOr,
    kNot,       // count times
    kUnary,     // signs, innermost last
    kCond,      // items: value, test, value, test, ..., else (may be null)
    kSuffixed,  // items[0] and its suffixes
  };
  Kind kind;
  Pos pos;
  Value value;
  int symbol = -1;  // kName
  int count = 0;
  std::string signs;
  std::vector<ExprPtr> items;
  std::vector<Op> ops;
  std::vector<Suffix> suffixes;
};

// What `set` and `for` assign to.
struct Target {
  Pos pos;
  int symbol = -1;  // a name, or the namespace where `attribute` is set
  std::string attribute;
  bool tuple = false;
  std::vector<Target> items;
};

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

struct Signature {
  std::vector<int> params;
  std::vector<std::string> names;
  std::vector<ExprPtr> defaults;  // of the last params
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
};

struct Stmt {
  enum class Kind : uint8_t {
    kText,
    kPrint,
    kIf,
    kFor,
    kSet,
    kSetBlock,
    kMacro,
    kCall,
    kFilter,
    kWith,
    kGeneration,
    kBreak,
    kContinue,
  };
  Kind kind;
  Pos pos;
  std::string text;             // kText; kMacro: its name
  std::vector<ExprPtr> exprs;   // kPrint, kIf: tests, kFor: iterable, test or null, kSet,
                                // kCall, kWith: values
  std::vector<Target> targets;  // kFor, kSet, kSetBlock, kWith
  std::vector<Body> bodies;     // kIf: one per test, then else; kFor: body, else; others one
  std::vector<Suffix> filters;  // kSetBlock, kFilter
  Signature signature;          // kMacro, kCall
  int symbol = -1;              // kMacro
  bool recursive = false;       // kFor
};

struct Template {
  Body body;
  std::vector<std::string> symbols;
};

}  // namespace lull::jinja
