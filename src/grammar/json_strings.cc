#include "grammar/json_strings.h"

#include <map>
#include <tuple>
#include <utility>

#include "grammar/regex.h"
#include "tokenizer/unicode.h"

namespace lull::grammar {
namespace {

// The days that the calendar has, from the year 1 on.
#define LULL_DATE                                                                 \
  "(([0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})-"         \
  "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|" \
  "02-(0[1-9]|1[0-9]|2[0-8]))|"                                                   \
  "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)-02-29)"
#define LULL_TIME                                            \
  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?" \
  "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define LULL_LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
#define LULL_HOST LULL_LABEL "(\\." LULL_LABEL "){0,5}"
#define LULL_URI_CODE "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"

struct Format {
  std::string_view name, regex;
};
constexpr Format kFormats[] = {
    {"date", LULL_DATE},
    {"time", LULL_TIME},
    {"date-time", LULL_DATE "T" LULL_TIME},
    {"uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"},
    {"ipv4",
     "((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\\.){3}"
     "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"},
    {"hostname", LULL_HOST},
    {"email",
     "[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,15}){0,2}@(" LULL_LABEL "\\.){1,4}[A-Za-z]{2,24}"},
    {"uri", "(https?|ftp)://" LULL_HOST "(:[1-9][0-9]{0,3})?(/" LULL_URI_CODE
            "*)*(\\?(" LULL_URI_CODE "|[/?])*)?(#(" LULL_URI_CODE "|[/?])*)?"},
    {"duration",
     "P([0-9]{1,9}W|[0-9]{1,9}D|[0-9]{1,9}Y([0-9]{1,9}M([0-9]{1,9}D)?)?|"
     "([0-9]{1,9}D)?T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|"
     "[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S))"},
};
#undef LULL_DATE
#undef LULL_TIME
#undef LULL_LABEL
#undef LULL_HOST
#undef LULL_URI_CODE

// The automaton between `start` and `end`, copied once for each number of code points, so that only
// texts of the right length pass. What can no longer be completed is cut by the builder.
class LengthProduct {
 public:
  LengthProduct(AutomatonBuilder* builder, int32_t end, const LengthBounds& lengths, int32_t next)
      : builder_(builder), end_(end), lengths_(lengths), next_(next) {}

  int32_t Build(int32_t start) {
    const int32_t copy = CopyOf({start, 0, 0});
    while (!todo_.empty() && builder_->ok()) {
      const auto [key, split] = todo_.back();
      todo_.pop_back();
      builder_->Spend(8);
      Fill(key, split);
    }
    return copy;
  }

 private:
  // Node, bytes of the current code point so far as CodeProgress counts them, code points.
  using Key = std::tuple<int32_t, int, uint64_t>;

  int32_t CopyOf(const Key& key) {
    const auto [it, is_new] = copies_.try_emplace(key, 0);
    if (is_new) {
      it->second = builder_->OpenSplit();
      todo_.push_back({key, it->second});
    }
    return it->second;
  }

  void Fill(const Key& key, int32_t split) {
    const auto [index, progress, count] = key;
    if (index == end_) {
      if (progress == 0 && count >= lengths_.min) builder_->SetSplit(split, next_, kNoNode);
      return;
    }
    const Node node = builder_->node(index);
    if (node.kind == Node::Kind::kSplit) {
      const auto copy = [&](int32_t to) {
        return to == kNoNode ? kNoNode : CopyOf({to, progress, count});
      };
      const int32_t first = copy(node.next), second = copy(node.other);
      builder_->SetSplit(split, first, second);
    } else if (node.kind == Node::Kind::kByte) {
      const int after = AutomatonBuilder::CodeProgress(progress, node.low);
      uint64_t then = count;
      if (after == 0 && ++then > lengths_.max) return;
      // Without an upper bound there is nothing to count beyond the lower one.
      if (lengths_.max == AutomatonBuilder::kNoMaximum) then = std::min(then, lengths_.min);
      const int32_t to = CopyOf({node.next, after, then});
      builder_->SetSplit(split, builder_->Byte(node.low, node.high, to), kNoNode);
    }
  }

  AutomatonBuilder* builder_;
  const int32_t end_;
  const LengthBounds lengths_;
  const int32_t next_;
  std::map<Key, int32_t> copies_;
  std::vector<std::pair<Key, int32_t>> todo_;
};

}  // namespace

std::string_view FormatRegex(std::string_view format) {
  for (const Format& known : kFormats) {
    if (known.name == format) return known.regex;
  }
  return {};
}

Result<int32_t> BuildPatternString(AutomatonBuilder* builder, std::string_view regex, bool search,
                                   const LengthBounds& lengths, int32_t next,
                                   std::string_view where) {
  const RegexOptions options = {.search = search, .json_string = true};
  const int32_t quote = builder->Byte('"', '"', next);
  if (lengths.any()) {
    LULL_ASSIGN_OR_RETURN(const int32_t start, BuildRegex(builder, regex, options, quote, where));
    return builder->Byte('"', '"', start);
  }
  const int32_t end = builder->OpenSplit();
  LULL_ASSIGN_OR_RETURN(const int32_t start, BuildRegex(builder, regex, options, end, where));
  LengthProduct product(builder, end, lengths, quote);
  const int32_t copy = product.Build(start);
  LULL_RETURN_IF_ERROR(builder->status());
  return builder->Byte('"', '"', copy);
}

int32_t BuildOtherString(AutomatonBuilder* builder, const std::vector<std::string>& names) {
  struct Branch {
    std::map<uint32_t, size_t> children;
    bool is_name = false;
  };
  std::vector<Branch> branches(1);  // children come after their parents
  for (const std::string& name : names) {
    size_t at = 0;
    for (size_t pos = 0; pos < name.size();) {
      builder->Spend(4);
      const uint32_t code = NextCodePoint(name, &pos);
      const auto [it, is_new] = branches[at].children.try_emplace(code, branches.size());
      at = it->second;
      if (is_new) branches.emplace_back();
    }
    branches[at].is_name = true;
  }
  // As long as it may still become a name no escapes are offered, which could spell one.
  const CodeSet escaped = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  std::vector<int32_t> nodes(branches.size());
  for (size_t i = branches.size(); i > 0 && builder->ok(); --i) {
    const Branch& branch = branches[i - 1];
    CodeSet others = escaped.Complement();
    std::vector<int32_t> starts;
    for (const auto& [code, child] : branch.children) {
      others = others.Minus({{code, code}});
      if (!escaped.Has(code)) starts.push_back(builder->Codes({{code, code}}, nodes[child]));
    }
    starts.push_back(builder->Codes(others, builder->StringBody()));
    if (!branch.is_name) starts.push_back(builder->Byte('"', '"', builder->Return()));
    nodes[i - 1] = builder->AnyOf(starts);
  }
  return builder->Byte('"', '"', nodes[0]);
}

}  // namespace lull::grammar
