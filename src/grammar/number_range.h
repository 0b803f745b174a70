// Decimal numbers between two bounds, written as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "grammar/automaton.h"

namespace lull::grammar {

// The number digits * 10^-places: exact where doubles are not.
struct Decimal {
  bool negative = false;
  std::string whole = "0";  // no leading zeros but a single one
  std::string fraction;     // no trailing zeros

  // From JSON's form; nullopt where it takes more than 18 digits before the point or 17 after it.
  static std::optional<Decimal> Parse(std::string_view text);
  bool zero() const { return whole == "0" && fraction.empty(); }
};
// Below 0: a is less. Above 0: a is more.
int Compare(const Decimal& a, const Decimal& b);

struct NumberBounds {
  struct Bound {
    Decimal value;
    bool exclusive = false;
  };
  std::optional<Bound> least, most;

  void AtLeast(const Bound& bound);  // the stricter of both stays
  void AtMost(const Bound& bound);
  bool Has(const Decimal& value) const;
};

// Numbers within the bounds, without an exponent, then next. integer: no fraction. kDead where
// there is none.
int32_t BuildNumber(AutomatonBuilder* builder, const NumberBounds& bounds, bool integer,
                    int32_t next);

}  // namespace lull::grammar
