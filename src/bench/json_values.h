// What was measured or not, as JSON: null where it was not.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "evidence/quantiles.h"

namespace lull {

inline nlohmann::json JsonOf(const std::optional<double>& value) {
  return value.has_value() ? nlohmann::json(*value) : nlohmann::json();
}
inline nlohmann::json JsonOf(const std::optional<int64_t>& value) {
  return value.has_value() ? nlohmann::json(*value) : nlohmann::json();
}
inline nlohmann::json JsonOf(const std::optional<QuantileEstimate>& estimate) {
  if (!estimate.has_value()) return nullptr;
  return {{"value", estimate->value},
          {"low", JsonOf(estimate->low)},
          {"high", JsonOf(estimate->high)},
          {"samples", estimate->samples}};
}

}  // namespace lull
