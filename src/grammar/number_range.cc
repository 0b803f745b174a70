#include "grammar/number_range.h"

#include <algorithm>
#include <vector>

namespace lull::grammar {
namespace {

constexpr size_t kWholeDigits = 18, kFractionDigits = 17;

// Bounds of a magnitude; absent: none.
using Bound = NumberBounds::Bound;
struct MagnitudeBounds {
  Bound least;  // 0 where there is none
  std::optional<Bound> most;
};

// Digits of one number as they are compared with those of two bounds: tight means equal so far.
struct Tight {
  bool least = false, most = false;
  bool none() const { return !least && !most; }
};

int CompareMagnitude(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  if (const int order = a.whole.compare(b.whole); order != 0) return order;
  return a.fraction.compare(b.fraction);  // no trailing zeros, so a prefix is less
}

char DigitAt(const std::string& digits, size_t at) { return at < digits.size() ? digits[at] : '0'; }

class RangeBuilder {
 public:
  RangeBuilder(AutomatonBuilder* builder, bool integer, int32_t next)
      : builder_(builder), integer_(integer), next_(next) {}

  int32_t Magnitude(const MagnitudeBounds& bounds) {
    const std::string& low = bounds.least.value.whole;
    const size_t most_width = bounds.most.has_value() ? bounds.most->value.whole.size() : 0;
    if (low.size() == most_width) {
      if (low > bounds.most->value.whole) return builder_->Dead();
      return Whole(bounds, most_width, 0, {true, true});
    }
    if (bounds.most.has_value() && low.size() > most_width) return builder_->Dead();
    // One width at a time: the digits of numbers of one width compare as texts.
    std::vector<int32_t> starts = {Whole(bounds, low.size(), 0, {true, false})};
    const size_t free_end = bounds.most.has_value() ? most_width : kWholeDigits + 1;
    for (size_t width = low.size() + 1; width < free_end; ++width) {
      starts.push_back(builder_->Byte('1', '9', FreeWhole(width - 1)));
    }
    if (bounds.most.has_value()) starts.push_back(Whole(bounds, most_width, 0, {false, true}));
    return builder_->AnyOf(starts);
  }

 private:
  // The edges over one digit between two bounds; after: what follows, by what is tight then.
  template <typename After>
  int32_t Digit(char least, char low, char high, Tight tight, const After& after) {
    std::vector<int32_t> starts;
    const auto edge = [&](char first, char last, Tight then) {
      if (first > last) return;
      starts.push_back(
          builder_->Byte(static_cast<uint8_t>(first), static_cast<uint8_t>(last), after(then)));
    };
    if (tight.least && tight.most && low >= high) {
      if (low == high) edge(low, low, tight);
      return builder_->AnyOf(starts);
    }
    if (tight.least) edge(low, low, {true, false});
    edge(tight.least ? static_cast<char>(low + 1) : least,
         tight.most ? static_cast<char>(high - 1) : '9', {});
    if (tight.most && high >= least) edge(high, high, {false, true});
    return builder_->AnyOf(starts);
  }

  // After `at` of `width` digits of the whole part.
  int32_t Whole(const MagnitudeBounds& bounds, size_t width, size_t at, Tight tight) {
    if (at == width) return Fraction(bounds, 0, tight);
    if (tight.none()) return FreeWhole(width - at);
    const char low = tight.least ? bounds.least.value.whole[at] : '0';
    const char high = tight.most ? bounds.most->value.whole[at] : '9';
    return Digit(at == 0 && width > 1 ? '1' : '0', low, high, tight,
                 [&](Tight then) { return Whole(bounds, width, at + 1, then); });
  }

  // After `at` digits of the fraction.
  int32_t Fraction(const MagnitudeBounds& bounds, size_t at, Tight tight) {
    if (tight.none()) return at == 0 ? FreeWhole(0) : FreeDigits(kFractionDigits - at);
    std::vector<int32_t> starts;
    if (MayStop(bounds, at, tight)) starts.push_back(next_);
    if (!integer_ && at < kFractionDigits) {
      const char low = tight.least ? DigitAt(bounds.least.value.fraction, at) : '0';
      const char high = tight.most ? DigitAt(bounds.most->value.fraction, at) : '9';
      const int32_t digit =
          Digit('0', low, high, tight, [&](Tight then) { return Fraction(bounds, at + 1, then); });
      starts.push_back(at == 0 ? builder_->Byte('.', '.', digit) : digit);
    }
    return builder_->AnyOf(starts);
  }

  // So many digits more, then any fraction. Each is built once.
  int32_t FreeWhole(size_t digits) {
    for (size_t made = free_whole_.size(); made <= digits; ++made) {
      if (made > 0) {
        free_whole_.push_back(builder_->Byte('0', '9', free_whole_.back()));
      } else if (integer_) {
        free_whole_.push_back(next_);
      } else {
        const int32_t digit = builder_->Byte('0', '9', FreeDigits(kFractionDigits - 1));
        free_whole_.push_back(builder_->Split(builder_->Byte('.', '.', digit), next_));
      }
    }
    return free_whole_[digits];
  }
  // So many digits more at most.
  int32_t FreeDigits(size_t most) {
    if (free_digits_.empty()) free_digits_.push_back(next_);
    while (free_digits_.size() <= most) {
      free_digits_.push_back(builder_->Split(builder_->Byte('0', '9', free_digits_.back()), next_));
    }
    return free_digits_[most];
  }

  static bool MayStop(const MagnitudeBounds& bounds, size_t at, Tight tight) {
    if (tight.least) {
      const bool equal = at >= bounds.least.value.fraction.size();
      if (!equal || bounds.least.exclusive) return false;
    }
    if (tight.most) {
      const bool equal = at >= bounds.most->value.fraction.size();
      if (equal && bounds.most->exclusive) return false;
    }
    return true;
  }

  AutomatonBuilder* builder_;
  const bool integer_;
  const int32_t next_;
  std::vector<int32_t> free_whole_, free_digits_;  // by number of digits
};

}  // namespace

std::optional<Decimal> Decimal::Parse(std::string_view text) {
  Decimal number;
  size_t at = 0;
  if (text.starts_with('-')) number.negative = true, ++at;
  std::string digits;
  int64_t point = -1;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.') {
      point = static_cast<int64_t>(digits.size());
    } else {
      digits += text[at];
    }
  }
  if (point < 0) point = static_cast<int64_t>(digits.size());
  if (at < text.size()) {
    int64_t exponent = 0;
    const bool down = text.substr(at + 1).starts_with('-');
    for (++at; at < text.size(); ++at) {
      if (text[at] >= '0' && text[at] <= '9') {
        exponent = std::min<int64_t>(exponent * 10 + (text[at] - '0'), 100'000);
      }
    }
    point += down ? -exponent : exponent;
  }
  const size_t leading = std::min(digits.find_first_not_of('0'), digits.size());
  digits.erase(0, leading);
  point -= static_cast<int64_t>(leading);
  if (digits.empty()) return Decimal();
  digits.erase(digits.find_last_not_of('0') + 1);
  const int64_t size = static_cast<int64_t>(digits.size());
  if (point > static_cast<int64_t>(kWholeDigits) ||
      size - point > static_cast<int64_t>(kFractionDigits)) {
    return std::nullopt;
  }
  if (point > 0) {
    number.whole = digits.substr(0, static_cast<size_t>(point));
    number.whole.resize(static_cast<size_t>(point), '0');
    if (point < size) number.fraction = digits.substr(static_cast<size_t>(point));
  } else {
    number.fraction = std::string(static_cast<size_t>(-point), '0') + digits;
  }
  return number;
}

int Compare(const Decimal& a, const Decimal& b) {
  const bool a_below = a.negative && !a.zero(), b_below = b.negative && !b.zero();
  if (a_below != b_below) return a_below ? -1 : 1;
  const int order = CompareMagnitude(a, b);
  return a_below ? -order : order;
}

void NumberBounds::AtLeast(const Bound& bound) {
  const int order = least.has_value() ? Compare(bound.value, least->value) : 1;
  if (order > 0 || (order == 0 && bound.exclusive)) least = bound;
}

void NumberBounds::AtMost(const Bound& bound) {
  const int order = most.has_value() ? Compare(bound.value, most->value) : -1;
  if (order < 0 || (order == 0 && bound.exclusive)) most = bound;
}

bool NumberBounds::Has(const Decimal& value) const {
  if (least.has_value()) {
    const int order = Compare(value, least->value);
    if (order < 0 || (order == 0 && least->exclusive)) return false;
  }
  if (most.has_value()) {
    const int order = Compare(value, most->value);
    if (order > 0 || (order == 0 && most->exclusive)) return false;
  }
  return true;
}

int32_t BuildNumber(AutomatonBuilder* builder, const NumberBounds& bounds, bool integer,
                    int32_t next) {
  const Decimal zero;
  RangeBuilder range(builder, integer, next);
  std::vector<int32_t> starts;
  const auto& least = bounds.least;
  const auto& most = bounds.most;
  const auto below_zero = [&](const std::optional<Bound>& bound) {
    return bound.has_value() && Compare(bound->value, zero) < 0;
  };
  const auto above_zero = [&](const std::optional<Bound>& bound) {
    return bound.has_value() && Compare(bound->value, zero) > 0;
  };
  if (!below_zero(most)) {  // from 0 up
    MagnitudeBounds magnitude;
    if (least.has_value() && !below_zero(least)) magnitude.least = *least;
    magnitude.most = most;
    starts.push_back(range.Magnitude(magnitude));
  }
  if (!above_zero(least)) {  // from -0 down: both bounds change sides
    MagnitudeBounds magnitude;
    if (most.has_value() && !above_zero(most)) magnitude.least = *most;
    if (least.has_value()) magnitude.most = *least;
    const bool only_zero = least.has_value() && least->value.zero();
    if (!only_zero) {
      starts.push_back(builder->Byte('-', '-', range.Magnitude(magnitude)));
    }
  }
  return builder->AnyOf(starts);
}

}  // namespace lull::grammar
