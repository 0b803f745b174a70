// Methods of str, dict, list, tuple and of jinja2's own objects.
#include <algorithm>
#include <map>
#include <set>

#include "chat/filters.h"
#include "chat/string_methods.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

Value MakeView(Run& run, const Value& dict, DictViewObject::What what) {
  auto view = run.New<DictViewObject>(0);
  if (view == nullptr || !run.Nest(view.get(), dict)) return Value();
  view->dict = dict;
  view->what = what;
  return Value::Of(Kind::kDictView, std::move(view));
}

Value DictGet(Run& run, const Value& self, const Args& args) {
  if (!args.named.empty() || args.pos.empty() || args.pos.size() > 2) {
    return run.TypeError("dict.get takes 1 or 2 positional arguments");
  }
  const Value& key = args.pos[0];
  if (key.is(Kind::kList) || key.is(Kind::kDict)) {
    return run.TypeError(std::string("unhashable type: '") + TypeName(key) + "'");
  }
  if (key.is(Kind::kString)) run.Work(static_cast<int64_t>(key.text().size()));
  const Value* found = self.as<DictObject>().Find(key);
  if (found != nullptr) return *found;
  return args.pos.size() == 2 ? args.pos[1] : Value::None();
}

Value CallDict(Run& run, const Value& self, const std::string& name, const Args& args) {
  if (name == "get") return DictGet(run, self, args);
  Bound none(run, name.c_str(), args, {}, 0);
  if (!none.ok()) return Value();
  if (name == "items") return MakeView(run, self, DictViewObject::What::kItems);
  if (name == "keys") return MakeView(run, self, DictViewObject::What::kKeys);
  if (name == "values") return MakeView(run, self, DictViewObject::What::kValues);
  if (name == "copy") return self;
  return run.Unsupported("the method dict." + name + " is not supported");
}

Value CallSequence(Run& run, const Value& self, const std::string& name, const Args& args) {
  const auto& items = self.as<ListObject>().items;
  if (name == "copy" && self.is(Kind::kList)) return self;
  if (name == "count") {
    Bound arg(run, "count", args, {"value"}, 1);
    int64_t count = 0;
    for (size_t i = 0; i < items.size() && arg.ok() && run.ok(); ++i) {
      count += Equal(run, items[i], *arg[0]);
    }
    return Value::Int(count);
  }
  Bound arg(run, "index", args, {"value"}, 1);
  for (size_t i = 0; i < items.size() && arg.ok() && run.ok(); ++i) {
    if (Equal(run, items[i], *arg[0])) return Value::Int(static_cast<int64_t>(i));
  }
  return run.TypeError("the value is not in the list");
}

Value CallLoopMethod(Run& run, LoopObject& loop, const std::string& name, const Args& args) {
  if (name == "cycle") {
    if (args.pos.empty()) return run.TypeError("no items for cycling given");
    return args.pos[loop.index % args.pos.size()];
  }
  Value now = run.Tuple(args.pos);
  if (!run.ok()) return Value();
  const bool changed = !loop.has_changed_value || !Equal(run, loop.changed_value, now);
  if (!run.Nest(&loop, now)) return Value();
  loop.has_changed_value = true;
  loop.changed_value = std::move(now);
  return Value::Bool(changed);
}

Value CallCycler(CyclerObject& cycler, const std::string& name) {
  if (name == "reset") {
    cycler.pos = 0;
    return Value::None();
  }
  const Value now = cycler.items[cycler.pos];
  cycler.pos = (cycler.pos + 1) % cycler.items.size();
  return now;
}

const std::set<std::string>& MethodsOf(Kind kind) {
  static const std::set<std::string> kDict = {"clear",      "copy",   "fromkeys", "get",
                                              "items",      "keys",   "pop",      "popitem",
                                              "setdefault", "update", "values"};
  static const std::set<std::string> kList = {"append", "clear",   "copy",   "count",
                                              "extend", "index",   "insert", "pop",
                                              "remove", "reverse", "sort"};
  static const std::set<std::string> kTuple = {"count", "index"};
  static const std::set<std::string> kLoop = {"cycle", "changed"};
  static const std::set<std::string> kCycler = {"next", "reset"};
  static const std::set<std::string> kNone;
  switch (kind) {
    case Kind::kDict:
      return kDict;
    case Kind::kList:
      return kList;
    case Kind::kTuple:
      return kTuple;
    case Kind::kLoop:
      return kLoop;
    case Kind::kCycler:
      return kCycler;
    default:
      return kNone;
  }
}

// What jinja2's immutable sandbox refuses to hand out.
bool Mutates(Kind kind, const std::string& name) {
  static const std::set<std::string> kDict = {"clear", "pop", "popitem", "setdefault", "update"};
  static const std::set<std::string> kList = {"append", "clear",  "extend",  "insert",
                                              "pop",    "remove", "reverse", "sort"};
  return (kind == Kind::kDict && kDict.count(name) != 0) ||
         (kind == Kind::kList && kList.count(name) != 0);
}

}  // namespace

bool HasMethod(const Value& object, const std::string& name) {
  if (object.is(Kind::kString)) return IsStringMethod(name);
  return MethodsOf(object.kind()).count(name) != 0;
}

Value CallMethod(Run& run, const MethodObject& method, const Args& args) {
  const Value& self = method.self;
  if (Mutates(self.kind(), method.name)) {
    return run.Unsupported("the method '" + method.name + "' would change a " + TypeName(self) +
                           ", which templates may not");
  }
  switch (self.kind()) {
    case Kind::kString:
      return CallStringMethod(run, self, method.name, args);
    case Kind::kDict:
      return CallDict(run, self, method.name, args);
    case Kind::kList:
    case Kind::kTuple:
      return CallSequence(run, self, method.name, args);
    case Kind::kLoop:
      return CallLoopMethod(run, self.as<LoopObject>(), method.name, args);
    case Kind::kCycler:
      return CallCycler(self.as<CyclerObject>(), method.name);
    default:
      return run.Unsupported("the method '" + method.name + "' is not supported");
  }
}

}  // namespace lull::jinja
