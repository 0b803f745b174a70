// Binding of call arguments to parameters.
#include "chat/filters.h"
#include "chat/text.h"

namespace lull::jinja {

Bound::Bound(Run& run, const char* what, const Args& args,
             std::initializer_list<const char*> params, size_t required)
    : run_(run), what_(what), values_(params.size(), nullptr) {
  if (args.pos.size() > params.size()) {
    run.TypeError(std::string(what) + " takes at most " + std::to_string(params.size()) +
                  " arguments, not " + std::to_string(args.pos.size()));
    ok_ = false;
    return;
  }
  for (size_t i = 0; i < args.pos.size(); ++i) values_[i] = &args.pos[i];
  for (const auto& [name, value] : args.named) {
    size_t i = 0;
    for (const char* param : params) {
      if (name == param) break;
      ++i;
    }
    if (i == params.size() || values_[i] != nullptr) {
      run.TypeError(
          std::string(what) +
          (i == params.size() ? " has no parameter '" : " is given twice the parameter '") + name +
          "'");
      ok_ = false;
      return;
    }
    values_[i] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i] != nullptr) continue;
    run.TypeError(std::string(what) + " needs the argument '" + *(params.begin() + i) + "'");
    ok_ = false;
    return;
  }
}

bool Bound::Flag(size_t i, bool otherwise) const {
  return values_[i] == nullptr ? otherwise : Truthy(*values_[i]);
}

int64_t Bound::Int(size_t i, int64_t otherwise) {
  if (values_[i] == nullptr) return otherwise;
  if (!values_[i]->is_integral()) {
    run_.TypeError(std::string(what_) + " needs an integer, not '" + TypeName(*values_[i]) + "'");
    ok_ = false;
    return otherwise;
  }
  return values_[i]->as_int();
}

std::string Bound::Text(size_t i, const char* otherwise) {
  if (values_[i] == nullptr) return otherwise;
  if (!values_[i]->is(Kind::kString)) {
    run_.TypeError(std::string(what_) + " needs a string, not '" + TypeName(*values_[i]) + "'");
    ok_ = false;
    return {};
  }
  run_.Work(static_cast<int64_t>(values_[i]->text().size()));
  return values_[i]->text();
}

}  // namespace lull::jinja
