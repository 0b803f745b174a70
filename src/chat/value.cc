#include "chat/value.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "chat/string_methods.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

constexpr size_t kSmallDict = 8;
// Live values may hold this many times the output limit, and a bit where that is small.
constexpr int64_t kLiveFactor = 16;
constexpr int64_t kLiveSpareBytes = 1 << 20;
// A list may be this many times as long as a range.
constexpr int64_t kListFactor = 4;
constexpr int64_t kMaxKeyElements = 1000;

int CompareIntFloat(int64_t i, double d) {
  if (std::isnan(d)) return 1;  // any fixed place will do: NaN equals nothing
  if (d >= 9223372036854775808.0) return -1;
  if (d < -9223372036854775808.0) return 1;
  const int64_t whole = static_cast<int64_t>(d);
  if (i != whole) return i < whole ? -1 : 1;
  const double rest = d - static_cast<double>(whole);
  return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

int CompareNumbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int();
  }
  if (a.is_integral()) return CompareIntFloat(a.as_int(), b.as_float());
  if (b.is_integral()) return -CompareIntFloat(b.as_int(), a.as_float());
  return a.as_float() < b.as_float() ? -1 : a.as_float() > b.as_float();
}

bool HasNan(const Value& a) { return a.is(Kind::kFloat) && std::isnan(a.as_float()); }

int KeyRank(const Value& v) {
  if (v.is_number()) return 1;
  if (v.is(Kind::kString)) return 2;
  if (v.is(Kind::kTuple)) return 3;
  return 0;
}

// Only what Python can hash; tuples are small because every look-up walks them.
bool CheckHashable(Run& run, const Value& v, int64_t* elements) {
  if (++*elements > kMaxKeyElements) {
    run.Unsupported("a tuple with more than 1000 elements as a key");
    return false;
  }
  if (v.is(Kind::kList) || v.is(Kind::kDict)) {
    run.TypeError(std::string("unhashable type: '") + TypeName(v) + "'");
    return false;
  }
  if (v.is(Kind::kString)) return run.Work(static_cast<int64_t>(v.text().size()));
  if (HasNan(v)) {
    run.Unsupported("a number that is not a number (NaN) as a key");
    return false;
  }
  if (!v.is(Kind::kTuple)) {
    if (KeyRank(v) == 0 && !v.is(Kind::kNone)) {
      run.Unsupported(std::string("a value of type '") + TypeName(v) + "' as a key");
      return false;
    }
    return true;
  }
  for (const Value& item : v.as<ListObject>().items) {
    if (!CheckHashable(run, item, elements)) return false;
  }
  return true;
}

}  // namespace

int KeyLess::Compare(const Value& a, const Value& b) {
  const int ra = KeyRank(a), rb = KeyRank(b);
  if (ra != rb) return ra < rb ? -1 : 1;
  if (ra == 1) return CompareNumbers(a, b);
  if (ra == 2) return a.text().compare(b.text());
  if (ra != 3) return 0;
  const auto& x = a.as<ListObject>().items;
  const auto& y = b.as<ListObject>().items;
  for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
    const int c = Compare(x[i], y[i]);
    if (c != 0) return c;
  }
  return x.size() < y.size() ? -1 : x.size() > y.size();
}

int64_t DictObject::IndexOf(const Value& key) const {
  if (entries_.size() > kSmallDict) {
    const auto it = index_.find(key);
    return it == index_.end() ? -1 : static_cast<int64_t>(it->second);
  }
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (KeyLess::Compare(entries_[i].first, key) == 0) return static_cast<int64_t>(i);
  }
  return -1;
}

const Value* DictObject::Find(const Value& key) const {
  const int64_t i = IndexOf(key);
  return i < 0 ? nullptr : &entries_[static_cast<size_t>(i)].second;
}

const Value* DictObject::Find(std::string_view key) const {
  auto object = std::make_shared<StringObject>();
  object->text = key;
  return Find(Value::Of(Kind::kString, std::move(object)));
}

void DictObject::Set(Value key, Value value) {
  const int64_t i = IndexOf(key);
  if (i >= 0) {
    entries_[static_cast<size_t>(i)].second = std::move(value);
    return;
  }
  entries_.emplace_back(std::move(key), std::move(value));
  if (entries_.size() <= kSmallDict) return;
  if (entries_.size() == kSmallDict + 1) {
    for (size_t j = 0; j < entries_.size(); ++j) index_.emplace(entries_[j].first, j);
  } else {
    index_.emplace(entries_.back().first, entries_.size() - 1);
  }
}

Value Run::Fail(ErrorCode code, std::string message, std::string hint) {
  if (failed_) return Value();
  failed_ = true;
  std::string where = "line " + std::to_string(pos_.line) + ", column " +
                      std::to_string(pos_.column) + ": " + what_;
  if (!name_.empty()) where += " '" + name_ + "'";
  error_ = Error{code, std::move(message), std::move(where), std::move(hint)};
  return Value();
}

void Run::OutOfSteps() {
  Fail(ErrorCode::kInvalidInput,
       "the template needs more than " + std::to_string(limits_.max_steps) + " steps",
       "it loops too long or moves too much text; raise TemplateLimits::max_steps if it is meant "
       "to");
}

bool Run::CheckStringSize(int64_t bytes) {
  if (bytes <= limits_.max_output_bytes) return ok();
  Fail(ErrorCode::kInvalidInput,
       "a text of more than " + std::to_string(limits_.max_output_bytes) + " bytes",
       "raise TemplateLimits::max_output_bytes if it is meant to be this long");
  return false;
}

bool Run::CheckListSize(int64_t items) {
  if (items <= kListFactor * limits_.max_range) return ok();
  Fail(ErrorCode::kInvalidInput,
       "a list of more than " + std::to_string(kListFactor * limits_.max_range) + " items");
  return false;
}

bool Run::Hold(Object* object, int64_t bytes) {
  object->meter = &meter_;
  object->charged_bytes = bytes;
  meter_.live_bytes += bytes;
  const int64_t most = kLiveFactor * limits_.max_output_bytes + kLiveSpareBytes;
  if (meter_.live_bytes > most) {
    Fail(ErrorCode::kOutOfMemory,
         "the template holds more than " + std::to_string(most) + " bytes of values");
  }
  return ok() && Work(bytes);
}

Value Run::String(std::string text, bool markup) {
  if (!CheckStringSize(static_cast<int64_t>(text.size()))) return Value();
  auto object = New<StringObject>(static_cast<int64_t>(text.size()));
  if (object == nullptr) return Value();
  object->length = CodePoints(work(), text);
  object->text = std::move(text);
  object->markup = markup;
  return Value::Of(Kind::kString, std::move(object));
}

bool Run::Nest(Object* object, const Value& held) {
  object->depth = std::max(object->depth, 1 + held.depth());
  if (object->depth > kMaxValueDepth) {
    TypeError("a value nested more than " + std::to_string(kMaxValueDepth) + " deep");
  }
  return ok();
}

bool Run::Nest(Object* object, const Values& held) {
  object->depth = std::max(object->depth, 1);
  for (const Value& value : held) {
    work_.Spend(1);
    if (!Nest(object, value)) return false;
  }
  return true;
}

Value Run::Sequence(Kind kind, Values items) {
  if (!CheckListSize(static_cast<int64_t>(items.size()))) return Value();
  auto object = New<ListObject>(static_cast<int64_t>(items.size() * sizeof(Value)));
  if (object == nullptr || !Nest(object.get(), items)) return Value();
  object->items = std::move(items);
  return Value::Of(kind, std::move(object));
}

Value Run::Iterator(Values items) {
  auto object = New<IteratorObject>(static_cast<int64_t>(items.size() * sizeof(Value)));
  if (object == nullptr || !Nest(object.get(), items)) return Value();
  object->items = std::move(items);
  return Value::Of(Kind::kIterator, std::move(object));
}

Value Run::Undefined(std::string message) {
  auto object = New<UndefinedObject>(static_cast<int64_t>(message.size()));
  if (object == nullptr) return Value();
  object->message = std::move(message);
  return Value::Of(Kind::kUndefined, std::move(object));
}

Value Run::Method(const Value& self, std::string name) {
  auto object = New<MethodObject>(static_cast<int64_t>(name.size()));
  if (object == nullptr || !Nest(object.get(), self)) return Value();
  object->self = self;
  object->name = std::move(name);
  return Value::Of(Kind::kMethod, std::move(object));
}

bool Run::Put(DictObject& dict, Value key, Value value) {
  int64_t elements = 0;
  if (!Step() || !CheckHashable(*this, key, &elements)) return false;
  if (!Nest(&dict, key) || !Nest(&dict, value)) return false;
  dict.Set(std::move(key), std::move(value));
  return true;
}

Value Run::FinishDict(std::shared_ptr<DictObject> dict) {
  // Two values, and a tree node where there is an index.
  const int64_t per_entry = dict->entries().size() > kSmallDict ? 160 : 64;
  if (!Hold(dict.get(), static_cast<int64_t>(dict->entries().size()) * per_entry + 128)) {
    return Value();
  }
  return Value::Of(Kind::kDict, std::move(dict));
}

const char* TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kIterator:
      return "generator";
    case Kind::kRange:
      return "range";
    case Kind::kDictView:
      return "dict view";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kMacro:
      return "Macro";
    case Kind::kFunction:
      return "function";
    case Kind::kMethod:
      return "method";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
  }
  return "?";
}

bool Truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_float() != 0.0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.as<ListObject>().items.empty();
    case Kind::kDict:
      return !value.as<DictObject>().entries().empty();
    case Kind::kRange:
      return value.as<RangeObject>().count != 0;
    case Kind::kDictView:
      return Truthy(value.as<DictViewObject>().dict);
    case Kind::kLoop:
      return !value.as<LoopObject>().items.empty();
    default:
      return true;
  }
}

bool HasLength(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kDictView:
    case Kind::kLoop:
      return true;
    default:
      return false;
  }
}

int64_t Length(Run& run, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return value.string().length;
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.as<ListObject>().items.size());
    case Kind::kDict:
      return static_cast<int64_t>(value.as<DictObject>().entries().size());
    case Kind::kRange:
      return value.as<RangeObject>().count;
    case Kind::kDictView:
      return Length(run, value.as<DictViewObject>().dict);
    case Kind::kLoop:
      return static_cast<int64_t>(value.as<LoopObject>().items.size());
    default:
      run.TypeError(std::string("object of type '") + TypeName(value) + "' has no len()");
      return 0;
  }
}

bool IsIterable(const Value& value) { return HasLength(value) || value.is(Kind::kIterator); }

namespace {

bool CopyValues(Run& run, const Values& items, size_t from, Values* out) {
  out->reserve(items.size() - from);
  for (size_t i = from; i < items.size(); ++i) {
    run.work()->Spend(4);
    out->push_back(items[i]);
  }
  return run.Work(static_cast<int64_t>(out->size() * sizeof(Value)));
}

}  // namespace

bool Iterate(Run& run, const Value& value, Values* out) {
  out->clear();
  switch (value.kind()) {
    case Kind::kUndefined:
      return run.ok();
    case Kind::kString: {
      const std::string& text = value.text();
      for (size_t i = 0; i < text.size();) {
        const size_t start = i;
        NextCodePoint(text, &i);
        if (!run.Step()) return false;
        out->push_back(run.String(text.substr(start, i - start), value.string().markup));
      }
      return run.ok();
    }
    case Kind::kList:
    case Kind::kTuple:
      return CopyValues(run, value.as<ListObject>().items, 0, out);
    case Kind::kDict:
      for (const auto& [key, unused] : value.as<DictObject>().entries()) {
        run.work()->Spend(4);
        out->push_back(key);
      }
      return run.Work(static_cast<int64_t>(out->size() * sizeof(Value)));
    case Kind::kRange: {
      const auto& r = value.as<RangeObject>();
      out->reserve(static_cast<size_t>(r.count));
      for (int64_t i = 0; i < r.count; ++i) {
        run.work()->Spend(2);
        out->push_back(Value::Int(r.start + i * r.step));
      }
      return run.Work(r.count * static_cast<int64_t>(sizeof(Value)));
    }
    case Kind::kDictView: {
      const auto& view = value.as<DictViewObject>();
      for (const auto& [key, item] : view.dict.as<DictObject>().entries()) {
        if (!run.Step()) return false;
        if (view.what == DictViewObject::What::kKeys) out->push_back(key);
        if (view.what == DictViewObject::What::kValues) out->push_back(item);
        if (view.what == DictViewObject::What::kItems) out->push_back(run.Tuple({key, item}));
      }
      return run.ok();
    }
    case Kind::kIterator: {
      auto& it = value.as<IteratorObject>();
      const size_t from = std::exchange(it.next, it.items.size());
      return CopyValues(run, it.items, from, out);
    }
    default:
      run.TypeError(std::string("'") + TypeName(value) + "' object is not iterable");
      return false;
  }
}

namespace {

bool EqualEntries(Run& run, const DictObject& a, const DictObject& b) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.Find(key);
    if (other == nullptr || !Equal(run, value, *other)) return false;
  }
  return true;
}

bool EqualItems(Run& run, const Values& a, const Values& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!Equal(run, a[i], b[i])) return false;
  }
  return true;
}

}  // namespace

bool Equal(Run& run, const Value& a, const Value& b) {
  if (!run.Step()) return false;
  if (a.is_number() && b.is_number()) {
    return !HasNan(a) && !HasNan(b) && CompareNumbers(a, b) == 0;
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return run.Work(static_cast<int64_t>(a.text().size())) && a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return EqualItems(run, a.as<ListObject>().items, b.as<ListObject>().items);
    case Kind::kDict:
      return EqualEntries(run, a.as<DictObject>(), b.as<DictObject>());
    case Kind::kRange: {
      const auto& x = a.as<RangeObject>();
      const auto& y = b.as<RangeObject>();
      return x.count == y.count && (x.count == 0 || x.start == y.start) &&
             (x.count <= 1 || x.step == y.step);
    }
    case Kind::kFunction:
      return a.as<FunctionObject>().name == b.as<FunctionObject>().name;
    default:
      return a.object() == b.object();
  }
}

int Order(Run& run, const Value& a, const Value& b, const char* op) {
  if (!run.Step()) return 0;
  if (a.is_number() && b.is_number()) {
    return HasNan(a) || HasNan(b) ? 2 : CompareNumbers(a, b);
  }
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    run.Work(static_cast<int64_t>(std::min(a.text().size(), b.text().size())));
    const int c = a.text().compare(b.text());
    return c < 0 ? -1 : c > 0;
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto& x = a.as<ListObject>().items;
    const auto& y = b.as<ListObject>().items;
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!Equal(run, x[i], y[i])) return run.ok() ? Order(run, x[i], y[i], op) : 0;
    }
    return x.size() < y.size() ? -1 : x.size() > y.size();
  }
  for (const Value* v : {&a, &b}) {
    if (!v->is(Kind::kUndefined) || v->object() == nullptr) continue;
    run.TypeError(v->as<UndefinedObject>().message);
    return 0;
  }
  run.TypeError(std::string("'") + op + "' not supported between instances of '" + TypeName(a) +
                "' and '" + TypeName(b) + "'");
  return 0;
}

bool Contains(Run& run, const Value& container, const Value& item) {
  if (container.is(Kind::kString)) {
    if (!item.is(Kind::kString)) {
      run.TypeError(std::string("'in <string>' requires string as left operand, not ") +
                    TypeName(item));
      return false;
    }
    if (!run.Work(static_cast<int64_t>(container.text().size()))) return false;
    return FindFirst(run.work(), container.text(), item.text()) != std::string::npos;
  }
  const bool keys = container.is(Kind::kDictView) &&
                    container.as<DictViewObject>().what == DictViewObject::What::kKeys;
  if (container.is(Kind::kDict) || keys) {
    const Value& dict = keys ? container.as<DictViewObject>().dict : container;
    if (item.is(Kind::kUndefined)) return false;
    int64_t elements = 0;
    if (!CheckHashable(run, item, &elements)) return false;
    return dict.as<DictObject>().Find(item) != nullptr;
  }
  if (container.is(Kind::kNamespace) || !IsIterable(container)) {
    run.TypeError(std::string("argument of type '") + TypeName(container) + "' is not iterable");
    return false;
  }
  Values items;
  if (!Iterate(run, container, &items)) return false;
  for (const Value& candidate : items) {
    if (Equal(run, candidate, item)) return true;
    if (!run.ok()) return false;
  }
  return false;
}

}  // namespace lull::jinja
