// Values of the template language, with Python's semantics, and the fuel of one parse or render.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/paced_allocator.h"
#include "base/work_meter.h"
#include "chat/chat_template.h"
#include "lull/status.h"

namespace lull::jinja {

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kIterator,  // a generator: can be walked once
  kRange,
  kDictView,
  kNamespace,
  kLoop,
  kMacro,
  kFunction,
  kMethod,
  kCycler,
  kJoiner,
};

// Bytes held by live values of one render.
struct Meter {
  int64_t live_bytes = 0;
};

// Everything a Value points to. The bytes it was charged for are given back when it goes.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (meter != nullptr) meter->live_bytes -= charged_bytes;
  }
  Meter* meter = nullptr;
  int64_t charged_bytes = 0;
  int depth = 0;  // of nested values, itself included: 0 for what holds none, or is kept by Run
};

struct StringObject : Object {
  ~StringObject() override {
    WorkMeter* const work = PacedScope::Current();
    if (work != nullptr) DiscardPaced(work, text.data(), text.capacity());
  }
  std::string text;     // valid UTF-8
  bool markup = false;  // the result of `safe` or `escape`
  int64_t length = 0;   // in code points
  bool ascii() const { return length == static_cast<int64_t>(text.size()); }
};

class Value {
 public:
  Value() = default;  // undefined
  static Value None() { return Value(Kind::kNone); }
  static Value Bool(bool b) {
    Value v(Kind::kBool);
    v.int_ = b;
    return v;
  }
  static Value Int(int64_t i) {
    Value v(Kind::kInt);
    v.int_ = i;
    return v;
  }
  static Value Float(double d) {
    Value v(Kind::kFloat);
    v.float_ = d;
    return v;
  }
  static Value Of(Kind kind, std::shared_ptr<Object> object) {
    Value v(kind);
    v.object_ = std::move(object);
    return v;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_number() const { return kind_ >= Kind::kBool && kind_ <= Kind::kFloat; }
  bool is_integral() const { return kind_ == Kind::kBool || kind_ == Kind::kInt; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }
  bool as_bool() const { return int_ != 0; }
  int64_t as_int() const { return int_; }
  // Of any number.
  double as_float() const { return kind_ == Kind::kFloat ? float_ : static_cast<double>(int_); }
  // Requires: is(kString).
  const StringObject& string() const { return static_cast<const StringObject&>(*object_); }
  const std::string& text() const { return string().text; }
  template <typename T>
  T& as() const {
    return static_cast<T&>(*object_);
  }
  Object* object() const { return object_.get(); }
  int depth() const { return object_ == nullptr ? 0 : object_->depth; }

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  Kind kind_ = Kind::kUndefined;
  union {
    int64_t int_ = 0;
    double float_;
  };
  std::shared_ptr<Object> object_;
};

using Values = std::vector<Value, PacedAllocator<Value>>;
using NamedValue = std::pair<std::string, Value>;
using Entry = std::pair<Value, Value>;
using Entries = std::vector<Entry, PacedAllocator<Entry>>;

// Where and why a value is missing; Value() without an object has no name either.
struct UndefinedObject : Object {
  std::string message;
};

struct ListObject : Object {  // kList and kTuple
  Values items;
};

// A total order of hashable values in which 1, 1.0 and true are one key.
struct KeyLess {
  bool operator()(const Value& a, const Value& b) const { return Compare(a, b) < 0; }
  static int Compare(const Value& a, const Value& b);
};

// Keeps insertion order. Never changed once a template can see it.
class DictObject : public Object {
 public:
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
  void Set(Value key, Value value);
  const Entries& entries() const { return entries_; }

 private:
  int64_t IndexOf(const Value& key) const;
  Entries entries_;
  std::map<Value, size_t, KeyLess, PacedAllocator<std::pair<const Value, size_t>>>
      index_;  // only beyond kSmall entries
};

struct IteratorObject : Object {
  Values items;
  size_t next = 0;
};

struct RangeObject : Object {
  int64_t start = 0, stop = 0, step = 1, count = 0;
};

struct DictViewObject : Object {
  enum class What { kKeys, kValues, kItems };
  Value dict;
  What what = What::kKeys;
};

struct NamespaceObject : Object {
  std::vector<NamedValue, PacedAllocator<NamedValue>> vars;
};

struct FunctionObject : Object {
  std::string name;
};

struct MethodObject : Object {
  Value self;
  std::string name;
};

struct CyclerObject : Object {
  Values items;
  size_t pos = 0;
};

struct JoinerObject : Object {
  std::string separator;
  bool used = false;
};

struct LoopObject : Object {
  Values items;
  size_t index = 0;
  int depth_of_loop = 0;
  const void* recursive = nullptr;  // the For statement, where `recursive`
  std::shared_ptr<Object> recursive_scope;
  bool has_changed_value = false;
  Value changed_value;
};

// Keyword and positional arguments of a call.
struct Args {
  Values pos;
  std::vector<std::pair<std::string, Value>> named;
};

struct Pos {
  int line = 1;
  int column = 1;
};

// Fuel, memory and the first error of one render. Once it has failed every value is undefined and
// every loop must stop: `while (run.ok() && ...)`.
class Run {
 public:
  // ctx is checkpointed as steps are spent, and outlives the run.
  Run(const TemplateLimits& limits, const ExecContext& ctx)
      : limits_(limits), steps_left_(limits.max_steps), work_(ctx), freeing_(&work_) {}

  WorkMeter* work() { return &work_; }

  bool ok() const { return !failed_; }
  const TemplateLimits& limits() const { return limits_; }
  const Error& error() const { return error_; }
  // The construct an error will be blamed on.
  void At(Pos pos, const char* what, std::string_view name = {}) {
    pos_ = pos;
    what_ = what;
    name_ = name;
  }
  Value Fail(ErrorCode code, std::string message, std::string hint = {});
  Value TypeError(std::string message) {
    return Fail(ErrorCode::kInvalidInput, std::move(message));
  }
  Value Unsupported(std::string message) {
    return Fail(ErrorCode::kUnsupported, std::move(message));
  }

  // One step per node evaluated, one per kBytesPerStep bytes moved.
  bool Step(int64_t n = 1) {
    steps_left_ -= n;
    work_.Spend(static_cast<size_t>(n) * kWorkPerStep);
    if (steps_left_ < 0) OutOfSteps();
    return !failed_;
  }
  bool Work(int64_t bytes) { return Step(bytes / kBytesPerStep); }
  bool CheckStringSize(int64_t bytes);
  bool CheckListSize(int64_t items);

  Value String(std::string text, bool markup = false);
  Value List(Values items) { return Sequence(Kind::kList, std::move(items)); }
  Value Tuple(Values items) { return Sequence(Kind::kTuple, std::move(items)); }
  Value Iterator(Values items);
  Value Undefined(std::string message);
  Value Method(const Value& self, std::string name);
  // Makes an object of any kind; `bytes` is what it holds beyond itself.
  template <typename T>
  std::shared_ptr<T> New(int64_t bytes) {
    auto object = std::make_shared<T>();
    if (!Hold(object.get(), static_cast<int64_t>(sizeof(T)) + bytes)) return nullptr;
    return object;
  }
  bool Hold(Object* object, int64_t bytes);
  // Sets how deep an object nests from what it holds; too deep fails, so that nothing that walks or
  // frees a value can run out of stack.
  bool Nest(Object* object, const Value& held);
  bool Nest(Object* object, const Values& held);

  // Dict building: Put checks the key is hashable and the depth; Finish charges it.
  std::shared_ptr<DictObject> NewDict() { return std::make_shared<DictObject>(); }
  bool Put(DictObject& dict, Value key, Value value);
  Value FinishDict(std::shared_ptr<DictObject> dict);

  static constexpr int64_t kBytesPerStep = 512;
  static constexpr size_t kWorkPerStep = 32;
  static constexpr int kMaxValueDepth = 128;

  int64_t now_unix_s = 0;
  int filter_depth = 0;
  std::vector<std::shared_ptr<NamespaceObject>>
      namespaces;  // emptied at the end: they may be cyclic

 private:
  Value Sequence(Kind kind, Values items);
  void OutOfSteps();

  TemplateLimits limits_;
  int64_t steps_left_;
  WorkMeter work_;
  PacedScope freeing_;  // values end wherever they are held last
  Meter meter_;
  bool failed_ = false;
  Error error_;
  Pos pos_;
  const char* what_ = "template";
  std::string name_;
};

// "'str'", for messages: Python's type name.
const char* TypeName(const Value& value);
bool Truthy(const Value& value);

// The elements a `for` would see. False (and a failed run) where it is not iterable.
bool Iterate(Run& run, const Value& value, Values* out);
bool IsIterable(const Value& value);
// len(); fails where Python would.
int64_t Length(Run& run, const Value& value);
bool HasLength(const Value& value);

// Python's ==, and < <= > >= as -1, 0, 1 (2: unordered, NaN); fails on types without an order.
bool Equal(Run& run, const Value& a, const Value& b);
int Order(Run& run, const Value& a, const Value& b, const char* op);
bool Contains(Run& run, const Value& container, const Value& item);

// Attribute and item access by the rules of the sandbox: missing is undefined.
Value GetAttr(Run& run, const Value& object, const std::string& name);
Value GetItem(Run& run, const Value& object, const Value& key);
Value Slice(Run& run, const Value& object, const Value& start, const Value& stop,
            const Value& step);

}  // namespace lull::jinja
