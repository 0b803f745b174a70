// A JSON request body, read field by field with types and ranges; the first error is kept. Fields
// that nobody reads are collected, so that an option is refused rather than ignored.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/exec_context.h"
#include "lull/status.h"

namespace lull {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  int max_depth = 64;
  int64_t max_members = 8192;  // of all objects together: their look-up is linear
  // A tree is many times its text: [],[],... would be 170 MB of 8 MiB.
  int64_t max_values = 1 << 20;
  int64_t max_nested = 1 << 16;  // arrays and objects
};

// Parses within limits that are checked before a tree is built. An error names the byte.
// Checkpoints ctx.
Result<Json> ParseJson(const std::string& text, const JsonLimits& limits = {},
                       const ExecContext& ctx = ExecContext());

// The same of a body that need not be an object.
Result<Json> ParseAnyJson(const std::string& text, const JsonLimits& limits = {},
                          const ExecContext& ctx = ExecContext());

class JsonFields {
 public:
  explicit JsonFields(const Json& object) : object_(object) {}

  // The field, or fallback where it is absent or null. Sets the error where type or range is wrong.
  double Number(const char* name, double fallback, double min, double max);
  int64_t Integer(const char* name, int64_t fallback, int64_t min, int64_t max);
  bool Bool(const char* name, bool fallback);
  std::string String(const char* name, const std::string& fallback);
  const Json* Get(const char* name);  // any type; null where absent or null
  void Ignore(const char* name);      // accepted without effect
  void Fail(const char* name, const std::string& message);
  void Fail(const Error& error);

  // The first error; fields that nobody reads are none.
  const Status& FirstError() const { return status_; }
  // The first error, or one naming a field that was never read.
  Status Finish() const;

 private:
  const Json& object_;
  std::set<std::string> seen_;
  Status status_;
};

}  // namespace lull
