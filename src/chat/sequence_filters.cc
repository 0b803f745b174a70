#include "chat/sequence_filters.h"

#include <algorithm>

#include "chat/filters.h"
#include "chat/sorting.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

Value LengthFilter(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "length", args, {}, 0);
  return Value::Int(bound.ok() ? Length(run, value) : 0);
}

Value List(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "list", args, {}, 0);
  Values items;
  return bound.ok() && Iterate(run, value, &items) ? run.List(std::move(items)) : Value();
}

Value First(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "first", args, {}, 0);
  if (!bound.ok()) return Value();
  if (value.is_sequence()) {
    const auto& items = value.as<ListObject>().items;
    return items.empty() ? run.Undefined("No first item, sequence was empty.") : items[0];
  }
  if (value.is(Kind::kIterator)) {
    auto& it = value.as<IteratorObject>();
    if (it.next < it.items.size()) return it.items[it.next++];
    return run.Undefined("No first item, sequence was empty.");
  }
  Values items;
  if (!Iterate(run, value, &items)) return Value();
  return items.empty() ? run.Undefined("No first item, sequence was empty.") : items[0];
}

Value Last(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "last", args, {}, 0);
  if (!bound.ok()) return Value();
  if (value.is(Kind::kIterator)) return run.TypeError("'generator' object is not reversible");
  Values items;
  if (!Iterate(run, value, &items)) return Value();
  return items.empty() ? run.Undefined("No last item, sequence was empty.") : items.back();
}

// "a.b.0": each part an attribute or, of digits, an index.
Values AttributePath(Run& run, std::string_view path) {
  Values parts;
  while (run.Step()) {
    const size_t dot = path.find('.');
    const std::string part(path.substr(0, dot));
    const bool index = !part.empty() && part.size() < 18 &&
                       part.find_first_not_of("0123456789") == std::string::npos;
    parts.push_back(index ? Value::Int(std::stoll(part)) : run.String(part));
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  return parts;
}

Values AttributePath(Run& run, const Value& attribute) {
  if (attribute.is(Kind::kNone)) return {};
  if (!attribute.is(Kind::kString)) return {attribute};
  return AttributePath(run, std::string_view(attribute.text()));
}

Value Follow(Run& run, Value value, const Values& path, const Value* otherwise = nullptr) {
  for (const Value& part : path) {
    if (!run.Step()) return Value();
    value = GetItem(run, value, part);
    if (otherwise != nullptr && value.is(Kind::kUndefined)) value = *otherwise;
  }
  return value;
}

Value IgnoreCase(Run& run, const Value& value) {
  if (!value.is(Kind::kString)) return value;
  if (!run.Work(static_cast<int64_t>(value.text().size()) * 16)) return Value();
  return run.String(Lower(run.work(), value.text()));
}

Value Join(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "join", args, {"d", "attribute"}, 0);
  Values items;
  if (!bound.ok() || !Iterate(run, value, &items)) return Value();
  const std::string separator = bound[0] == nullptr ? "" : Str(run, *bound[0]);
  Values path;
  if (bound[1] != nullptr) path = AttributePath(run, *bound[1]);
  std::string out;
  for (size_t i = 0; i < items.size() && run.Step(); ++i) {
    if (i != 0) AppendPaced(run.work(), separator, &out);
    AppendPaced(run.work(), Str(run, Follow(run, items[i], path)), &out);
    if (!run.CheckStringSize(static_cast<int64_t>(out.size()))) return Value();
  }
  return run.ok() ? run.String(std::move(out)) : Value();
}

Value Items(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "items", args, {}, 0);
  Values out;
  if (!bound.ok()) return Value();
  if (value.is(Kind::kUndefined)) return run.Iterator({});
  if (!value.is(Kind::kDict)) return run.TypeError("Can only get item pairs from a mapping.");
  for (const auto& [key, item] : value.as<DictObject>().entries()) {
    if (!run.Step()) return Value();
    out.push_back(run.Tuple({key, item}));
  }
  return run.Iterator(std::move(out));
}

Value DictSort(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "dictsort", args, {"case_sensitive", "by", "reverse"}, 0);
  if (!bound.ok()) return Value();
  const bool case_sensitive = bound.Flag(0, false), reverse = bound.Flag(2, false);
  const std::string by = bound.Text(1, "key");
  if (!run.ok()) return Value();
  if (by != "key" && by != "value") return run.TypeError("dictsort sorts by \"key\" or \"value\"");
  if (!value.is(Kind::kDict)) {
    return run.TypeError(std::string("dictsort needs a mapping, not '") + TypeName(value) + "'");
  }
  const auto& entries = value.as<DictObject>().entries();
  Values keys, out;
  for (const auto& [key, item] : entries) {
    const Value& sort_by = by == "key" ? key : item;
    keys.push_back(case_sensitive ? sort_by : IgnoreCase(run, sort_by));
    if (!run.Step()) return Value();
  }
  for (size_t i : SortedOrder(run, keys, reverse)) {
    if (!run.Step()) return Value();
    out.push_back(run.Tuple({entries[i].first, entries[i].second}));
  }
  return run.List(std::move(out));
}

// The sort key of each item: the attributes named, lower-cased unless case_sensitive.
Values SortKeys(Run& run, const Values& items, const Value* attribute, bool case_sensitive) {
  std::vector<Values> paths;
  if (attribute != nullptr && attribute->is(Kind::kString)) {
    std::string_view rest = attribute->text();
    while (run.ok()) {
      const size_t comma = rest.find(',');
      paths.push_back(AttributePath(run, rest.substr(0, comma)));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  } else {
    paths.push_back(attribute == nullptr ? Values() : AttributePath(run, *attribute));
  }
  Values keys;
  for (const Value& item : items) {
    Values key;
    for (const auto& path : paths) {
      Value part = Follow(run, item, path);
      key.push_back(case_sensitive ? part : IgnoreCase(run, part));
      if (!run.Step()) return keys;
    }
    keys.push_back(run.List(std::move(key)));
  }
  return keys;
}

Value Sort(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "sort", args, {"reverse", "case_sensitive", "attribute"}, 0);
  Values items, out;
  if (!bound.ok() || !Iterate(run, value, &items)) return Value();
  const auto keys = SortKeys(run, items, bound[2], bound.Flag(1, false));
  if (!run.ok()) return Value();
  for (size_t i : SortedOrder(run, keys, bound.Flag(0, false))) out.push_back(items[i]);
  return run.List(std::move(out));
}

Value Reverse(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "reverse", args, {}, 0);
  if (!bound.ok()) return Value();
  if (value.is(Kind::kString)) {
    return Slice(run, value, Value::None(), Value::None(), Value::Int(-1));
  }
  Values items;
  if (!Iterate(run, value, &items)) return Value();
  return run.Iterator(Values(items.rbegin(), items.rend()));
}

Value Unique(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "unique", args, {"case_sensitive", "attribute"}, 0);
  Values items, out;
  if (!bound.ok() || !Iterate(run, value, &items)) return Value();
  const bool case_sensitive = bound.Flag(0, false);
  const auto path = bound[1] == nullptr ? Values() : AttributePath(run, *bound[1]);
  auto seen = run.NewDict();
  for (const Value& item : items) {
    Value key = Follow(run, item, path);
    if (!case_sensitive) key = IgnoreCase(run, key);
    const size_t before = seen->entries().size();
    if (!run.Put(*seen, std::move(key), Value::None())) return Value();
    if (seen->entries().size() != before) out.push_back(item);
  }
  return run.Iterator(std::move(out));
}

Value Extreme(Run& run, const Value& value, const Args& args, bool max) {
  Bound bound(run, max ? "max" : "min", args, {"case_sensitive", "attribute"}, 0);
  Values items;
  if (!bound.ok() || !Iterate(run, value, &items)) return Value();
  if (items.empty()) return run.Undefined("No aggregated item, sequence was empty.");
  const bool case_sensitive = bound.Flag(0, false);
  const auto path = bound[1] == nullptr ? Values() : AttributePath(run, *bound[1]);
  size_t best = 0;
  Value best_key;
  for (size_t i = 0; i < items.size() && run.Step(); ++i) {
    Value key = Follow(run, items[i], path);
    if (!case_sensitive) key = IgnoreCase(run, key);
    if (i != 0 && Order(run, key, best_key, max ? ">" : "<") != (max ? 1 : -1)) continue;
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

Value Min(Run& run, const Value& v, const Args& a) { return Extreme(run, v, a, false); }
Value Max(Run& run, const Value& v, const Args& a) { return Extreme(run, v, a, true); }

Value Sum(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "sum", args, {"attribute", "start"}, 0);
  Values items;
  if (!bound.ok() || !Iterate(run, value, &items)) return Value();
  const auto path = bound[0] == nullptr ? Values() : AttributePath(run, *bound[0]);
  Value total = bound[1] == nullptr ? Value::Int(0) : *bound[1];
  if (total.is(Kind::kString)) return run.TypeError("sum() can't sum strings");
  for (const Value& item : items) {
    if (!run.Step()) return Value();
    total = Add(run, total, Follow(run, item, path));
  }
  return total;
}

Value Batch(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "batch", args, {"linecount", "fill_with"}, 1);
  Values items, out;
  const int64_t size = bound.ok() ? bound.Int(0, 1) : 1;
  if (!run.ok() || !Iterate(run, value, &items)) return Value();
  Values row;
  for (const Value& item : items) {
    if (!run.Step()) return Value();
    if (static_cast<int64_t>(row.size()) == size) out.push_back(run.List(std::exchange(row, {})));
    row.push_back(item);
  }
  const bool fill = bound[1] != nullptr && !bound[1]->is(Kind::kNone);
  if (!row.empty()) {
    if (fill && size > run.limits().max_range) return run.TypeError("a batch this long");
    while (fill && static_cast<int64_t>(row.size()) < size) row.push_back(*bound[1]);
    out.push_back(run.List(std::move(row)));
  }
  return run.Iterator(std::move(out));
}

Value GroupBy(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  Values items, keys, out;
  if (!bound.ok() || !Iterate(run, value, &items)) return Value();
  const auto path = AttributePath(run, *bound[0]);
  Values shown;
  for (const Value& item : items) {
    shown.push_back(Follow(run, item, path, bound[1]));
    keys.push_back(bound.Flag(2, false) ? shown.back() : IgnoreCase(run, shown.back()));
    if (!run.Step()) return Value();
  }
  const auto order = SortedOrder(run, keys, false);
  for (size_t i = 0; i < order.size() && run.ok();) {
    Values group;
    const size_t first = order[i];
    for (; i < order.size() && Equal(run, keys[order[i]], keys[first]) && run.ok(); ++i) {
      group.push_back(items[order[i]]);
    }
    if (group.empty()) group.push_back(items[order[i++]]);  // NaN equals nothing
    out.push_back(run.Tuple({shown[first], run.List(std::move(group))}));
  }
  return run.List(std::move(out));
}

Value Map(Run& run, const Value& value, const Args& args) {
  Values items, out;
  const Value* attribute = nullptr;
  const Value* otherwise = nullptr;
  for (const auto& [name, arg] : args.named) {
    if (!args.pos.empty()) break;
    if (name == "attribute")
      attribute = &arg;
    else if (name == "default")
      otherwise = &arg;
    else
      return run.TypeError("map has no keyword argument '" + name + "'");
  }
  if (args.pos.empty() && attribute == nullptr) {
    return run.TypeError("map requires a filter argument");
  }
  if (!args.pos.empty() && !args.pos[0].is(Kind::kString)) {
    return run.TypeError("map needs the name of a filter");
  }
  if (!Truthy(value) && !IsIterable(value)) return run.Iterator({});
  if (!Iterate(run, value, &items)) return Value();
  Values path;
  Args rest;
  std::string filter;
  if (args.pos.empty()) {
    path = AttributePath(run, *attribute);
  } else {
    filter = args.pos[0].text();
    if (!KnownFilter(filter)) return run.Unsupported(UnknownFilterMessage(filter));
    rest.pos.assign(args.pos.begin() + 1, args.pos.end());
    rest.named = args.named;
  }
  for (const Value& item : items) {
    if (!run.Step()) return Value();
    out.push_back(args.pos.empty() ? Follow(run, item, path, otherwise)
                                   : ApplyFilter(run, filter, item, rest));
  }
  return run.Iterator(std::move(out));
}

// select and reject, on the item or on one of its attributes.
Value Choose(Run& run, const Value& value, const Args& args, bool keep, bool by_attribute) {
  Values items, out, path;
  size_t next = 0;
  if (by_attribute) {
    if (args.pos.empty()) return run.TypeError("Missing parameter for attribute name");
    path = AttributePath(run, args.pos[next++]);
  }
  std::string test;
  Args rest;
  if (next < args.pos.size()) {
    if (!args.pos[next].is(Kind::kString))
      return run.TypeError("the name of a test must be a string");
    test = args.pos[next++].text();
    if (!KnownTest(test)) return run.Unsupported("unknown test '" + test + "'");
    rest.pos.assign(args.pos.begin() + static_cast<std::ptrdiff_t>(next), args.pos.end());
    rest.named = args.named;
  } else if (!args.named.empty()) {
    return run.TypeError("keyword arguments without a test");
  }
  if (!Truthy(value) && !IsIterable(value)) return run.Iterator({});
  if (!Iterate(run, value, &items)) return Value();
  for (const Value& item : items) {
    if (!run.Step()) return Value();
    const Value subject = Follow(run, item, path);
    const bool passed = test.empty() ? Truthy(subject) : ApplyTest(run, test, subject, rest);
    if (passed == keep) out.push_back(item);
  }
  return run.Iterator(std::move(out));
}

Value Select(Run& r, const Value& v, const Args& a) { return Choose(r, v, a, true, false); }
Value Reject(Run& r, const Value& v, const Args& a) { return Choose(r, v, a, false, false); }
Value SelectAttr(Run& r, const Value& v, const Args& a) { return Choose(r, v, a, true, true); }
Value RejectAttr(Run& r, const Value& v, const Args& a) { return Choose(r, v, a, false, true); }

}  // namespace

const std::vector<SequenceFilter>& SequenceFilters() {
  static const std::vector<SequenceFilter> kFilters = {
      {"batch", Batch},
      {"count", LengthFilter},
      {"dictsort", DictSort},
      {"first", First},
      {"groupby", GroupBy},
      {"items", Items},
      {"join", Join},
      {"last", Last},
      {"length", LengthFilter},
      {"list", List},
      {"map", Map},
      {"max", Max},
      {"min", Min},
      {"reject", Reject},
      {"rejectattr", RejectAttr},
      {"reverse", Reverse},
      {"select", Select},
      {"selectattr", SelectAttr},
      {"sort", Sort},
      {"sum", Sum},
      {"unique", Unique},
  };
  return kFilters;
}

}  // namespace lull::jinja
