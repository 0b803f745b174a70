// Python's arithmetic. Integers are 64 bits: what does not fit is an error.
#include <cmath>

#include "chat/filters.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

Value BadOperands(Run& run, const char* op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b}) {
    if (v->is(Kind::kUndefined) && v->object() != nullptr) {
      return run.TypeError(v->as<UndefinedObject>().message);
    }
  }
  return run.TypeError(std::string("unsupported operand type(s) for ") + op + ": '" + TypeName(a) +
                       "' and '" + TypeName(b) + "'");
}

Value Overflow(Run& run) { return run.Unsupported("an integer that does not fit 64 bits"); }

bool BothInts(const Value& a, const Value& b) { return a.is_integral() && b.is_integral(); }
bool BothNumbers(const Value& a, const Value& b) { return a.is_number() && b.is_number(); }

Value Repeat(Run& run, const Value& what, int64_t times) {
  if (times <= 0) times = 0;
  const int64_t bytes =
      what.is(Kind::kString)
          ? static_cast<int64_t>(what.text().size())
          : static_cast<int64_t>(what.as<ListObject>().items.size() * sizeof(Value));
  int64_t total = 0;
  if (__builtin_mul_overflow(bytes, times, &total)) total = INT64_MAX;
  if (!run.CheckStringSize(total) || !run.Work(total)) return Value();
  if (total == 0) times = 0;
  if (what.is(Kind::kString)) {
    std::string text;
    text.reserve(static_cast<size_t>(total));
    for (int64_t i = 0; i < times; ++i) {
      run.work()->Spend(1);
      AppendPaced(run.work(), what.text(), &text);
    }
    return run.String(std::move(text), what.string().markup);
  }
  Values items;
  const auto& source = what.as<ListObject>().items;
  if (!run.CheckListSize(total / static_cast<int64_t>(sizeof(Value)))) return Value();
  items.reserve(source.size() * static_cast<size_t>(times));
  for (int64_t i = 0; i < times; ++i) {
    run.work()->Spend(1 + 4 * source.size());
    items.insert(items.end(), source.begin(), source.end());
  }
  return what.is(Kind::kList) ? run.List(std::move(items)) : run.Tuple(std::move(items));
}

Value AddStrings(Run& run, const Value& a, const Value& b) {
  const bool markup = a.string().markup || b.string().markup;
  if (!run.CheckStringSize(static_cast<int64_t>(a.text().size() + b.text().size()))) return Value();
  std::string text;
  text.reserve(a.text().size() + b.text().size());
  for (const Value* part : {&a, &b}) {
    if (markup && !part->string().markup) {
      AppendPaced(run.work(), EscapeHtml(run.work(), part->text()), &text);
    } else {
      AppendPaced(run.work(), part->text(), &text);
    }
  }
  return run.String(std::move(text), markup);
}

}  // namespace

Value Add(Run& run, const Value& a, const Value& b) {
  if (BothInts(a, b)) {
    int64_t sum = 0;
    if (__builtin_add_overflow(a.as_int(), b.as_int(), &sum)) return Overflow(run);
    return Value::Int(sum);
  }
  if (BothNumbers(a, b)) return Value::Float(a.as_float() + b.as_float());
  if (a.is(Kind::kString) && b.is(Kind::kString)) return AddStrings(run, a, b);
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto& first = a.as<ListObject>().items;
    const auto& more = b.as<ListObject>().items;
    if (!run.CheckListSize(static_cast<int64_t>(first.size() + more.size()))) return Value();
    Values items;
    items.reserve(first.size() + more.size());
    items.insert(items.end(), first.begin(), first.end());
    items.insert(items.end(), more.begin(), more.end());
    return a.is(Kind::kList) ? run.List(std::move(items)) : run.Tuple(std::move(items));
  }
  return BadOperands(run, "+", a, b);
}

Value Subtract(Run& run, const Value& a, const Value& b) {
  if (BothInts(a, b)) {
    int64_t difference = 0;
    if (__builtin_sub_overflow(a.as_int(), b.as_int(), &difference)) return Overflow(run);
    return Value::Int(difference);
  }
  if (BothNumbers(a, b)) return Value::Float(a.as_float() - b.as_float());
  return BadOperands(run, "-", a, b);
}

Value Multiply(Run& run, const Value& a, const Value& b) {
  if (BothInts(a, b)) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a.as_int(), b.as_int(), &product)) return Overflow(run);
    return Value::Int(product);
  }
  if (BothNumbers(a, b)) return Value::Float(a.as_float() * b.as_float());
  if ((a.is(Kind::kString) || a.is_sequence()) && b.is_integral())
    return Repeat(run, a, b.as_int());
  if ((b.is(Kind::kString) || b.is_sequence()) && a.is_integral())
    return Repeat(run, b, a.as_int());
  return BadOperands(run, "*", a, b);
}

Value Divide(Run& run, const Value& a, const Value& b) {
  if (!BothNumbers(a, b)) return BadOperands(run, "/", a, b);
  if (b.as_float() == 0.0) return run.TypeError("division by zero");
  return Value::Float(a.as_float() / b.as_float());
}

namespace {

double PythonMod(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0.0) {
    if ((b < 0) != (rest < 0)) rest += b;
  } else {
    rest = std::copysign(0.0, b);
  }
  return rest;
}

double PythonFloorDiv(double a, double b) {
  const double rest = PythonMod(a, b);
  const double quotient = (a - rest) / b;
  if (quotient == 0.0) return std::copysign(0.0, a / b);
  double floored = std::floor(quotient);
  if (quotient - floored > 0.5) floored += 1.0;
  return floored;
}

}  // namespace

Value FloorDivide(Run& run, const Value& a, const Value& b) {
  if (!BothNumbers(a, b)) return BadOperands(run, "//", a, b);
  if (b.as_float() == 0.0) return run.TypeError("integer division or modulo by zero");
  if (!BothInts(a, b)) return Value::Float(PythonFloorDiv(a.as_float(), b.as_float()));
  if (a.as_int() == INT64_MIN && b.as_int() == -1) return Overflow(run);
  int64_t quotient = a.as_int() / b.as_int();
  if (a.as_int() % b.as_int() != 0 && (a.as_int() < 0) != (b.as_int() < 0)) --quotient;
  return Value::Int(quotient);
}

Value Modulo(Run& run, const Value& a, const Value& b) {
  if (a.is(Kind::kString)) return PercentFormat(run, a, b);
  if (!BothNumbers(a, b)) return BadOperands(run, "%", a, b);
  if (b.as_float() == 0.0) return run.TypeError("integer division or modulo by zero");
  if (!BothInts(a, b)) return Value::Float(PythonMod(a.as_float(), b.as_float()));
  if (b.as_int() == -1) return Value::Int(0);
  int64_t rest = a.as_int() % b.as_int();
  if (rest != 0 && (rest < 0) != (b.as_int() < 0)) rest += b.as_int();
  return Value::Int(rest);
}

Value Power(Run& run, const Value& a, const Value& b) {
  if (!BothNumbers(a, b)) return BadOperands(run, "** or pow()", a, b);
  if (a.as_float() == 0.0 && b.as_float() < 0) {
    return run.TypeError("0.0 cannot be raised to a negative power");
  }
  if (BothInts(a, b) && b.as_int() >= 0) {
    int64_t base = a.as_int(), result = 1;
    for (int64_t exponent = b.as_int(); exponent > 0; exponent >>= 1) {
      if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result))
        return Overflow(run);
      if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return Overflow(run);
    }
    return Value::Int(result);
  }
  const double power = std::pow(a.as_float(), b.as_float());
  if (std::isnan(power) && !std::isnan(a.as_float()) && !std::isnan(b.as_float())) {
    return run.Unsupported("a power that is a complex number");
  }
  if (std::isinf(power) && !std::isinf(a.as_float()) && !std::isinf(b.as_float())) {
    return run.TypeError("the result of ** is too large");
  }
  return Value::Float(power);
}

Value Negate(Run& run, const Value& a, char sign) {
  if (!a.is_number()) {
    if (a.is(Kind::kUndefined)) return BadOperands(run, "-", a, a);
    return run.TypeError(std::string("bad operand type for unary ") + sign + ": '" + TypeName(a) +
                         "'");
  }
  if (a.is(Kind::kFloat)) return sign == '-' ? Value::Float(-a.as_float()) : a;
  if (sign == '+') return Value::Int(a.as_int());
  if (a.as_int() == INT64_MIN) return Overflow(run);
  return Value::Int(-a.as_int());
}

}  // namespace lull::jinja
