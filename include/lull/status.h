// Errors are values: every call that can fail returns Status or Result<T>. The library never
// throws, aborts, exits or prints.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace lull {

enum class ErrorCode {
  kOk = 0,
  kUsage,             // the caller's request makes no sense (exit 2, HTTP 400)
  kInvalidInput,      // data from outside is malformed: file, JSON, template (exit 3, HTTP 400)
  kInvalidModel,      // the model file is damaged or inconsistent (exit 3)
  kUnsupported,       // well-formed, but not something Lull implements (exit 3, HTTP 400/501)
  kNotFound,          // no such file, model, route (exit 3, HTTP 404)
  kContextOverflow,   // more tokens than the context holds (exit 3, HTTP 400)
  kOutOfMemory,       // a declared memory bound would be exceeded (exit 4, HTTP 503)
  kBudgetImpossible,  // the declared budget cannot be kept (exit 4)
  kBusy,              // queue or pool full, try again later (exit 4, HTTP 429)
  kDeadlineExceeded,  // the request's deadline passed before its answer was complete (HTTP 504)
  kCancelled,         // the caller cancelled
  kIo,                // the operating system refused (exit 3, HTTP 500)
  kInternal,          // a bug of ours (exit 3, HTTP 500)
};

// Stable lower-case name, e.g. "invalid_model". Used in JSON errors.
const char* ErrorCodeName(ErrorCode code);

// What went wrong, where (file, key, tensor, offset, field) and what to do about it.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string where;
  std::string hint;
  double retry_after_s = 0.0;  // kBusy: when it may be worth another try, as estimated; 0: unknown
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design
  Status(ErrorCode code, std::string message, std::string where = {}, std::string hint = {})
      : error_{code, std::move(message), std::move(where), std::move(hint), 0.0} {}
  static Status Ok() { return Status(); }

  bool ok() const { return error_.code == ErrorCode::kOk; }
  const Error& error() const { return error_; }
  ErrorCode code() const { return error_.code; }
  // "code: message (at where); hint" for people.
  std::string ToString() const;

 private:
  Error error_{ErrorCode::kOk, {}, {}, {}, 0.0};
};

// Either a T or an Error. Requires: ok() before value().
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::move(error)) {}  // NOLINT
  Result(Status status) : state_(status.error()) {}  // NOLINT

  bool ok() const { return std::holds_alternative<T>(state_); }
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T* operator->() { return &std::get<T>(state_); }
  const T* operator->() const { return &std::get<T>(state_); }
  T& operator*() & { return std::get<T>(state_); }
  const T& operator*() const& { return std::get<T>(state_); }
  const Error& error() const { return std::get<Error>(state_); }
  Status status() const { return ok() ? Status() : Status(std::get<Error>(state_)); }

 private:
  std::variant<T, Error> state_;
};

}  // namespace lull

// Returns early with the error of a Status or Result expression.
#define LULL_RETURN_IF_ERROR(expr)                       \
  do {                                                   \
    ::lull::Status lull_status_ = (expr);                \
    if (!lull_status_.ok()) return lull_status_.error(); \
  } while (0)
#define LULL_CONCAT_INNER_(a, b) a##b
#define LULL_CONCAT_(a, b) LULL_CONCAT_INNER_(a, b)
#define LULL_ASSIGN_OR_RETURN(decl, expr)                \
  auto LULL_CONCAT_(lull_result_, __LINE__) = (expr);    \
  if (!LULL_CONCAT_(lull_result_, __LINE__).ok())        \
    return LULL_CONCAT_(lull_result_, __LINE__).error(); \
  decl = std::move(LULL_CONCAT_(lull_result_, __LINE__)).value()
