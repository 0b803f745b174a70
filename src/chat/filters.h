// Filters, tests, methods and global functions, each looked up by name.
#pragma once

#include <string>

#include "chat/value.h"

namespace lull::jinja {

bool KnownFilter(const std::string& name);
bool KnownTest(const std::string& name);
std::string UnknownFilterMessage(const std::string& name);

Value ApplyFilter(Run& run, const std::string& name, const Value& value, const Args& args);
bool ApplyTest(Run& run, const std::string& name, const Value& value, const Args& args);

// True where Python's type has the attribute at all, whether or not it is supported.
bool HasMethod(const Value& object, const std::string& name);
Value CallMethod(Run& run, const MethodObject& method, const Args& args);

bool KnownGlobal(const std::string& name);
Value CallGlobal(Run& run, const std::string& name, const Args& args);

// Binds arguments to parameter names, as Python does. Missing ones are null; too many, unknown or
// repeated ones fail.
class Bound {
 public:
  Bound(Run& run, const char* what, const Args& args, std::initializer_list<const char*> params,
        size_t required);
  bool ok() const { return ok_; }
  const Value* operator[](size_t i) const { return values_[i]; }
  bool Flag(size_t i, bool otherwise) const;
  // Fails the run where the argument is of another type.
  int64_t Int(size_t i, int64_t otherwise);
  std::string Text(size_t i, const char* otherwise);

 private:
  Run& run_;
  const char* what_;
  bool ok_ = true;
  std::vector<const Value*> values_;
};

// Python's + - * / // % **.
Value Add(Run& run, const Value& a, const Value& b);
Value Subtract(Run& run, const Value& a, const Value& b);
Value Multiply(Run& run, const Value& a, const Value& b);
Value Divide(Run& run, const Value& a, const Value& b);
Value FloorDivide(Run& run, const Value& a, const Value& b);
Value Modulo(Run& run, const Value& a, const Value& b);
Value Power(Run& run, const Value& a, const Value& b);
Value Negate(Run& run, const Value& a, char sign);

// "%s" % args and "{}".format(args).
Value PercentFormat(Run& run, const Value& format, const Value& args);
Value BraceFormat(Run& run, const Value& format, const Args& args);

}  // namespace lull::jinja
