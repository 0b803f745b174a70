// Global functions.
#include <map>

#include "chat/filters.h"
#include "chat/text.h"
#include "chat/time_format.h"

namespace lull::jinja {
namespace {

using Global = Value (*)(Run&, const Args&);

Value Range(Run& run, const Args& args) {
  Bound bound(run, "range", args, {"start", "stop", "step"}, 1);
  if (!bound.ok() || !args.named.empty()) return run.TypeError("range takes 1 to 3 arguments");
  int64_t start = 0, stop = bound.Int(0, 0), step = 1;
  if (bound[1] != nullptr) {
    start = stop;
    stop = bound.Int(1, 0);
    step = bound.Int(2, 1);
  }
  if (!run.ok()) return Value();
  if (step == 0) return run.TypeError("range() arg 3 must not be zero");
  // In 128 bits nothing overflows.
  const __int128 span =
      step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 by = step > 0 ? static_cast<__int128>(step) : -static_cast<__int128>(step);
  const __int128 count = span <= 0 ? 0 : (span + by - 1) / by;
  if (count > run.limits().max_range) {
    return run.TypeError("a range of more than " + std::to_string(run.limits().max_range) +
                         " numbers");
  }
  auto range = run.New<RangeObject>(0);
  if (range == nullptr) return Value();
  range->start = start;
  range->stop = stop;
  range->step = step;
  range->count = static_cast<int64_t>(count);
  return Value::Of(Kind::kRange, std::move(range));
}

// Mappings and keywords, as dict() takes them.
bool CollectEntries(Run& run, const Args& args, Entries* out) {
  if (args.pos.size() > 1) {
    run.TypeError("dict expected at most 1 argument");
    return false;
  }
  if (!args.pos.empty() && args.pos[0].is(Kind::kDict)) {
    *out = args.pos[0].as<DictObject>().entries();
  } else if (!args.pos.empty()) {
    Values pairs, both;
    if (!Iterate(run, args.pos[0], &pairs)) return false;
    for (const Value& pair : pairs) {
      if (!Iterate(run, pair, &both)) return false;
      if (both.size() != 2) {
        run.TypeError("dict needs pairs");
        return false;
      }
      out->emplace_back(both[0], both[1]);
    }
  }
  for (const auto& [name, value] : args.named) out->emplace_back(run.String(name), value);
  return run.ok();
}

Value Dict(Run& run, const Args& args) {
  Entries entries;
  if (!CollectEntries(run, args, &entries)) return Value();
  auto dict = run.NewDict();
  for (auto& [key, value] : entries) {
    if (!run.Put(*dict, std::move(key), std::move(value))) return Value();
  }
  return run.FinishDict(std::move(dict));
}

Value Namespace(Run& run, const Args& args) {
  const Value dict = Dict(run, args);
  if (!run.ok()) return Value();
  const auto& entries = dict.as<DictObject>().entries();
  auto space = run.New<NamespaceObject>(static_cast<int64_t>(entries.size()) * 96);
  if (space == nullptr) return Value();
  for (const auto& [key, value] : entries) {
    if (key.is(Kind::kString)) space->vars.emplace_back(key.text(), value);
  }
  run.namespaces.push_back(space);
  return Value::Of(Kind::kNamespace, std::move(space));
}

Value RaiseException(Run& run, const Args& args) {
  Bound bound(run, "raise_exception", args, {"message"}, 1);
  return bound.ok() ? run.Fail(ErrorCode::kInvalidInput, Str(run, *bound[0]),
                               "the template itself refused this conversation")
                    : Value();
}

Value StrftimeNow(Run& run, const Args& args) {
  Bound bound(run, "strftime_now", args, {"format"}, 1);
  const std::string format = bound.ok() ? bound.Text(0, "") : "";
  if (!run.ok() || !run.CheckStringSize(static_cast<int64_t>(format.size()) * 16)) return Value();
  std::string out;
  char unknown = '\0';
  if (!FormatUtc(run.now_unix_s, format, &out, &unknown)) {
    return run.Unsupported(std::string("strftime_now with the directive '%") + unknown + "'");
  }
  return run.String(std::move(out));
}

Value Joiner(Run& run, const Args& args) {
  Bound bound(run, "joiner", args, {"sep"}, 0);
  auto joiner = run.New<JoinerObject>(64);
  if (!bound.ok() || joiner == nullptr) return Value();
  joiner->separator = bound.Text(0, ", ");
  return Value::Of(Kind::kJoiner, std::move(joiner));
}

Value Cycler(Run& run, const Args& args) {
  if (args.pos.empty() || !args.named.empty())
    return run.TypeError("at least one item has to be provided");
  auto cycler = run.New<CyclerObject>(static_cast<int64_t>(args.pos.size() * sizeof(Value)));
  if (cycler == nullptr || !run.Nest(cycler.get(), args.pos)) return Value();
  cycler->items = args.pos;
  return Value::Of(Kind::kCycler, std::move(cycler));
}

Value Lipsum(Run& run, const Args&) {
  return run.Unsupported("the function 'lipsum' is not supported");
}

const std::map<std::string, Global>& Globals() {
  static const std::map<std::string, Global> kGlobals = {
      {"range", Range},
      {"dict", Dict},
      {"namespace", Namespace},
      {"joiner", Joiner},
      {"cycler", Cycler},
      {"lipsum", Lipsum},
      {"raise_exception", RaiseException},
      {"strftime_now", StrftimeNow},
  };
  return kGlobals;
}

}  // namespace

bool KnownGlobal(const std::string& name) { return Globals().count(name) != 0; }

Value CallGlobal(Run& run, const std::string& name, const Args& args) {
  return Globals().at(name)(run, args);
}

}  // namespace lull::jinja
