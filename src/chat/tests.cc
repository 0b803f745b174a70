// What stands after "is".
#include <map>

#include "chat/filters.h"
#include "chat/string_methods.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

using Test = bool (*)(Run&, const Value&, const Args&);

const Value& Arg(const Args& args) { return args.pos.empty() ? args.named[0].second : args.pos[0]; }

int64_t IntegerRest(Run& run, const Value& value, const Value& by) {
  const Value rest = Modulo(run, value, by);
  if (rest.is(Kind::kFloat)) return rest.as_float() == 0.0 ? 0 : rest.as_float() == 1.0 ? 1 : 2;
  return rest.is_integral() ? rest.as_int() : 2;
}

bool SameAs(Run& run, const Value& value, const Args& args) {
  const Value& other = Arg(args);
  if (value.kind() != other.kind()) return false;
  if (value.is(Kind::kNone)) return true;
  if (value.is(Kind::kBool)) return value.as_bool() == other.as_bool();
  if (value.is(Kind::kInt) || value.is(Kind::kFloat) || value.is(Kind::kString)) {
    return Equal(run, value, other);  // identity of small values is Python's own affair
  }
  return value.object() == other.object();
}

bool IsCallable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:  // jinja2's Undefined has a __call__, which raises
    case Kind::kLoop:
    case Kind::kMacro:
    case Kind::kFunction:
    case Kind::kMethod:
    case Kind::kJoiner:
      return true;
    default:
      return false;
  }
}

bool CaseTest(Run& run, const Value& value, const char* method) {
  const Value text = run.String(Str(run, value));
  return run.ok() && Truthy(CallStringMethod(run, text, method, {}));
}

bool IsSequence(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:  // it has a length and a __getitem__, which raises
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
      return true;
    default:
      return false;
  }
}

struct Entry {
  size_t arity;
  Test test;
};

#define LULL_TEST [](Run & run, const Value& v, const Args& a) -> bool
#define LULL_UNUSED (void)run, (void)v, (void)a

bool Ordered(Run& run, const Value& v, const Args& a, const char* op, bool less, bool equal) {
  const int order = Order(run, v, Arg(a), op);
  return run.ok() && ((order == 0 && equal) || order == (less ? -1 : 1));
}

const std::map<std::string, Entry>& Tests() {
  static const Test eq = LULL_TEST { return Equal(run, v, Arg(a)); };
  static const Test ne = LULL_TEST { return !Equal(run, v, Arg(a)); };
  static const Test lt = LULL_TEST { return Ordered(run, v, a, "<", true, false); };
  static const Test le = LULL_TEST { return Ordered(run, v, a, "<=", true, true); };
  static const Test gt = LULL_TEST { return Ordered(run, v, a, ">", false, false); };
  static const Test ge = LULL_TEST { return Ordered(run, v, a, ">=", false, true); };
  static const std::map<std::string, Entry> kTests = {{"defined", {0, LULL_TEST{LULL_UNUSED;
  return !v.is(Kind::kUndefined);
}
}  // namespace
}  // namespace lull::jinja
, {"undefined", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kUndefined);
}
}
}
, {"none", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kNone);
}
}
}
, {"boolean", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kBool);
}
}
}
, {"true", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kBool) && v.as_bool();
}
}
}
, {"false", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kBool) && !v.as_bool();
}
}
}
, {"integer", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kInt);
}
}
}
, {"float", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kFloat);
}
}
}
, {"number", {0, LULL_TEST{LULL_UNUSED;
return v.is_number();
}
}
}
, {"string", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kString);
}
}
}
, {"mapping", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kDict);
}
}
}
, {"sequence", {0, LULL_TEST{LULL_UNUSED;
return IsSequence(v);
}
}
}
, {"iterable", {0, LULL_TEST{LULL_UNUSED;
return IsIterable(v);
}
}
}
, {"callable", {0, LULL_TEST{LULL_UNUSED;
return IsCallable(v);
}
}
}
, {"escaped", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kString) && v.string().markup;
}
}
}
, {"lower", {0, LULL_TEST{LULL_UNUSED;
return CaseTest(run, v, "islower");
}
}
}
, {"upper", {0, LULL_TEST{LULL_UNUSED;
return CaseTest(run, v, "isupper");
}
}
}
, {"odd", {0, LULL_TEST{LULL_UNUSED;
return IntegerRest(run, v, Value::Int(2)) == 1;
}
}
}
, {"even", {0, LULL_TEST{LULL_UNUSED;
return IntegerRest(run, v, Value::Int(2)) == 0;
}
}
}
, {"divisibleby", {1, LULL_TEST{return IntegerRest(run, v, Arg(a)) == 0;
}
}
}
, {"sameas", {1, SameAs}}, {"in", {1, LULL_TEST{return Contains(run, Arg(a), v);
}
}
}
, {"filter", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kString) && KnownFilter(v.text());
}
}
}
, {"test", {0, LULL_TEST{LULL_UNUSED;
return v.is(Kind::kString) && KnownTest(v.text());
}
}
}
, {"eq", {1, eq}}, {"equalto", {1, eq}}, {"==", {1, eq}}, {"ne", {1, ne}}, {"!=", {1, ne}},
    {"lt", {1, lt}}, {"lessthan", {1, lt}}, {"<", {1, lt}}, {"le", {1, le}}, {"<=", {1, le}},
    {"gt", {1, gt}}, {"greaterthan", {1, gt}}, {">", {1, gt}}, {"ge", {1, ge}}, {">=", {1, ge}},
}
;
return kTests;
}

#undef LULL_TEST
#undef LULL_UNUSED

}  // namespace

bool KnownTest(const std::string& name) { return Tests().count(name) != 0; }

bool ApplyTest(Run& run, const std::string& name, const Value& value, const Args& args) {
  const auto it = Tests().find(name);
  if (it == Tests().end()) {
    run.Unsupported("unknown test '" + name + "'");
    return false;
  }
  if (args.pos.size() + args.named.size() != it->second.arity) {
    run.TypeError("the test '" + name + "' takes " + std::to_string(it->second.arity) +
                  " argument(s)");
    return false;
  }
  return run.ok() && it->second.test(run, value, args);
}

}  // namespace lull::jinja
