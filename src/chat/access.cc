// Attributes, items and slices, by the rules of jinja2's immutable sandbox.
#include <algorithm>

#include "chat/filters.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

Value UndefinedError(Run& run, const Value& object) {
  return run.TypeError(object.object() == nullptr ? "reading from an undefined value"
                                                  : object.as<UndefinedObject>().message);
}

Value Missing(Run& run, const Value& object, const std::string& name) {
  return run.Undefined(std::string("'") + TypeName(object) + " object' has no attribute '" +
                       name.substr(0, 200) + "'");
}

// What a loop knows about itself. False where there is no such attribute.
bool LoopAttr(Run& run, const LoopObject& loop, const std::string& name, Value* out) {
  const auto index = static_cast<int64_t>(loop.index);
  const auto length = static_cast<int64_t>(loop.items.size());
  if (name == "index")
    *out = Value::Int(index + 1);
  else if (name == "index0")
    *out = Value::Int(index);
  else if (name == "revindex")
    *out = Value::Int(length - index);
  else if (name == "revindex0")
    *out = Value::Int(length - index - 1);
  else if (name == "first")
    *out = Value::Bool(index == 0);
  else if (name == "last")
    *out = Value::Bool(index + 1 == length);
  else if (name == "length")
    *out = Value::Int(length);
  else if (name == "depth")
    *out = Value::Int(loop.depth_of_loop + 1);
  else if (name == "depth0")
    *out = Value::Int(loop.depth_of_loop);
  else if (name == "previtem")
    *out = index > 0 ? loop.items[loop.index - 1] : run.Undefined("there is no previous item");
  else if (name == "nextitem")
    *out = index + 1 < length ? loop.items[loop.index + 1] : run.Undefined("there is no next item");
  else
    return false;
  return true;
}

// Attributes of the objects that have them beside methods.
bool OwnAttr(Run& run, const Value& object, const std::string& name, Value* out) {
  if (object.is(Kind::kLoop)) return LoopAttr(run, object.as<LoopObject>(), name, out);
  if (object.is(Kind::kNamespace)) {
    const auto& vars = object.as<NamespaceObject>().vars;
    run.Step(static_cast<int64_t>(vars.size()) / 32);
    for (const auto& [key, value] : vars) {
      if (key != name) continue;
      *out = value;
      return true;
    }
  }
  if (object.is(Kind::kCycler) && name == "current") {
    const auto& cycler = object.as<CyclerObject>();
    *out = cycler.items[cycler.pos];
    return true;
  }
  if (object.is(Kind::kMacro)) {
    run.Unsupported("the attribute '" + name + "' of a macro is not supported");
    return true;
  }
  return false;
}

// object[key] as Python's own; false where it raises LookupError or TypeError.
bool Item(Run& run, const Value& object, const Value& key, Value* out) {
  switch (object.kind()) {
    case Kind::kDict: {
      if (key.is(Kind::kList) || key.is(Kind::kDict)) return false;
      if (key.is(Kind::kString)) run.Work(static_cast<int64_t>(key.text().size()));
      const Value* found = object.as<DictObject>().Find(key);
      if (found != nullptr) *out = *found;
      return found != nullptr;
    }
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kString: {
      if (!key.is_integral()) return false;
      const int64_t length = Length(run, object);
      const int64_t index = key.as_int() < 0 ? key.as_int() + length : key.as_int();
      if (index < 0 || index >= length) return false;
      if (object.is_sequence()) {
        *out = object.as<ListObject>().items[static_cast<size_t>(index)];
      } else if (object.is(Kind::kRange)) {
        const auto& range = object.as<RangeObject>();
        *out = Value::Int(range.start + index * range.step);
      } else {
        const StringObject& s = object.string();
        if (!s.ascii()) run.Work(static_cast<int64_t>(s.text.size()));
        const size_t begin = OffsetOf(run.work(), s, index);
        size_t end = begin;
        NextCodePoint(s.text, &end);
        *out = run.String(s.text.substr(begin, end - begin), s.markup);
      }
      return true;
    }
    default:
      return false;
  }
}

bool Attr(Run& run, const Value& object, const std::string& name, Value* out) {
  if (OwnAttr(run, object, name, out)) return true;
  if (!HasMethod(object, name)) return false;
  *out = run.Method(object, name);
  return true;
}

// A slice bound: None, or an integer clamped to what matters.
bool Bound64(const Value& value, int64_t otherwise, int64_t* out) {
  *out = otherwise;
  if (value.is(Kind::kNone)) return true;
  if (!value.is_integral()) return false;
  *out = value.as_int();
  return true;
}

// text[from:to:by], whose bounds have been cut to the text.
Value SliceText(Run& run, const StringObject& s, int64_t from, int64_t to, int64_t by) {
  if (!run.Work(static_cast<int64_t>(s.text.size()) * 16)) return Value();
  std::vector<char32_t> codes;
  codes.reserve(static_cast<size_t>(s.length));
  for (size_t i = 0; i < s.text.size();) codes.push_back(NextCodePoint(run.work(), s.text, &i));
  std::string text;
  text.reserve(s.text.size());
  for (int64_t i = from; by > 0 ? i < to : i > to; i += by) {
    run.work()->Spend(1);
    AppendUtf8(codes[static_cast<size_t>(i)], &text);
  }
  FreePaced(run.work(), &codes);
  return run.String(std::move(text), s.markup);
}

}  // namespace

Value GetAttr(Run& run, const Value& object, const std::string& name) {
  if (object.is(Kind::kUndefined)) return UndefinedError(run, object);
  Value out;
  if (Attr(run, object, name, &out)) return out;
  if (object.is(Kind::kDict)) {
    const Value* found = object.as<DictObject>().Find(std::string_view(name));
    if (found != nullptr) return *found;
  }
  return Missing(run, object, name);
}

Value GetItem(Run& run, const Value& object, const Value& key) {
  if (object.is(Kind::kUndefined)) return UndefinedError(run, object);
  Value out;
  if (Item(run, object, key, &out)) return out;
  if (!key.is(Kind::kString)) {
    return run.Undefined(std::string(TypeName(object)) + " object has no such element");
  }
  if (Attr(run, object, key.text(), &out)) return out;
  return Missing(run, object, key.text());
}

Value Slice(Run& run, const Value& object, const Value& start, const Value& stop,
            const Value& step) {
  if (object.is(Kind::kUndefined)) return UndefinedError(run, object);
  if (!object.is(Kind::kString) && !object.is_sequence() && !object.is(Kind::kRange)) {
    return run.TypeError(std::string("'") + TypeName(object) + "' object cannot be sliced");
  }
  int64_t by = 1, from = 0, to = 0;
  if (!Bound64(step, 1, &by)) return run.TypeError("slice indices must be integers or None");
  if (by == 0) return run.TypeError("slice step cannot be zero");
  by = std::clamp<int64_t>(by, -(int64_t{1} << 40), int64_t{1} << 40);
  const int64_t length = Length(run, object);
  const int64_t low = by > 0 ? 0 : -1, high = by > 0 ? length : length - 1;
  if (!Bound64(start, by > 0 ? 0 : length - 1, &from) ||
      !Bound64(stop, by > 0 ? length : -length - 1, &to)) {
    return run.TypeError("slice indices must be integers or None");
  }
  if (from < 0) from = std::max(low, from + length);
  if (to < 0) to = std::max(low, to + length);
  from = std::min(from, high);
  to = std::min(to, high);
  if (object.is(Kind::kString) && by == 1) {
    const StringObject& s = object.string();
    if (!s.ascii()) run.Work(static_cast<int64_t>(s.text.size()));
    if (from >= to) return run.String("", s.markup);
    const size_t begin = OffsetOf(run.work(), s, from);
    const size_t size = OffsetOf(run.work(), std::string_view(s.text).substr(begin), to - from);
    return run.String(s.text.substr(begin, s.ascii() ? static_cast<size_t>(to - from) : size),
                      s.markup);
  }
  if (object.is(Kind::kString)) return SliceText(run, object.string(), from, to, by);
  Values items, taken;
  if (!Iterate(run, object, &items)) return Value();
  for (int64_t i = from; by > 0 ? i < to : i > to; i += by) {
    if (!run.Step()) return Value();
    taken.push_back(items[static_cast<size_t>(i)]);
  }
  return object.is(Kind::kTuple) ? run.Tuple(std::move(taken)) : run.List(std::move(taken));
}

}  // namespace lull::jinja
