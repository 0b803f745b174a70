// No template and no input may crash, hang, or hold more than it is allowed.
#include <gtest/gtest.h>
#include <pthread.h>
#include <time.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "chat/chat_template.h"

namespace lull {
namespace {

std::string Times(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// Sanitizers make frames larger and code slower.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LULL_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(LULL_SANITIZED)
constexpr size_t kStackBytes = 1024 * 1024;
constexpr double kSlow = 80;
#else
constexpr size_t kStackBytes = 256 * 1024;
constexpr double kSlow = 10;  // refusals within a second of CPU time, on a busy machine too
#endif

void OnSmallStack(const std::function<void()>& work) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  ASSERT_EQ(pthread_attr_setstacksize(&attr, kStackBytes), 0);
  pthread_t thread;
  const auto run = [](void* arg) -> void* {
    (*static_cast<const std::function<void()>*>(arg))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attr, run, const_cast<std::function<void()>*>(&work)), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attr);
}

// Of this thread: the machine may be busy.
double CpuMs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

struct Outcome {
  bool ok = false;
  Error error;
  double ms = 0;
};

Outcome Try(const std::string& source, const std::string& messages = "[]",
            const TemplateLimits& limits = {}) {
  Outcome outcome;
  OnSmallStack([&] {
    const double start = CpuMs();
    auto parsed = ChatTemplate::Parse(source, limits);
    if (parsed.ok()) {
      TemplateInput input;
      input.messages_json = messages;
      const Result<std::string> text = (*parsed)->Render(input);
      outcome.ok = text.ok();
      if (!text.ok()) outcome.error = text.error();
    } else {
      outcome.error = parsed.error();
    }
    outcome.ms = CpuMs() - start;
  });
  return outcome;
}

void ExpectRefused(const std::string& source, const std::string& messages = "[]") {
  const Outcome outcome = Try(source, messages);
  const std::string name = source.substr(0, 120);
  EXPECT_FALSE(outcome.ok) << name;
  EXPECT_FALSE(outcome.error.message.empty()) << name;
  EXPECT_LT(outcome.ms, 100 * kSlow) << name << ": " << outcome.error.message;
}

TEST(ChatTemplateLimits, DeepNestingIsRefused) {
  constexpr int kDeep = 200'000;
  ExpectRefused("{{ " + Times("(", kDeep) + "1" + Times(")", kDeep) + " }}");
  ExpectRefused("{{ " + Times("(", kDeep));
  ExpectRefused("{{ " + Times("[", kDeep) + Times("]", kDeep) + " }}");
  ExpectRefused("{{ " + Times("{1:", kDeep) + "1" + Times("}", kDeep) + " }}");
  ExpectRefused("{{ " + Times("a[", kDeep) + "1" + Times("]", kDeep) + " }}");
  ExpectRefused("{{ " + Times("a(", kDeep) + Times(")", kDeep) + " }}");
  ExpectRefused("{{ " + Times("a|d(", kDeep) + Times(")", kDeep) + " }}");
  ExpectRefused(Times("{% if 1 %}", 90'000) + Times("{% endif %}", 1));
  ExpectRefused(Times("{% for x in y %}", 60'000));
  ExpectRefused(Times("{% macro m() %}", 60'000));
  ExpectRefused("{% for " + Times("(", kDeep) + "x in y %}{% endfor %}");
  ExpectRefused("{% set " + Times("(", kDeep) + "x = y %}");
  ExpectRefused("{{ 1 is " + Times("in [1 is ", 60'000));
}

TEST(ChatTemplateLimits, LongFlatChainsAreFine) {
  // Chains are no nesting: they render, or run out of steps.
  EXPECT_TRUE(Try("{{ " + Times("not ", 200'000) + "1 }}").ok);
  EXPECT_TRUE(Try("{{ 1" + Times(" + 1", 100'000) + " }}").ok);
  EXPECT_TRUE(Try("{{ 1" + Times(" and 1", 100'000) + " }}").ok);
  EXPECT_TRUE(Try("{{ 'a'" + Times(" ~ 'a'", 1'000) + " }}").ok);
  EXPECT_TRUE(Try("{{ 'a'" + Times("|upper", 10'000) + " }}").ok);
  EXPECT_TRUE(Try("{{ " + Times("-", 200'000) + "1 }}").ok);
  EXPECT_TRUE(Try("{% if 0 %}" + Times("{% elif 0 %}", 50'000) + "{% endif %}").ok);
  EXPECT_TRUE(Try("{{ 1" + Times(" if 0 else 1", 50'000) + " }}").ok);
  ExpectRefused("{{ " + Times("-", 600'000) + "1 }}");
}

TEST(ChatTemplateLimits, ExponentialTextIsRefused) {
  ExpectRefused(
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% "
      "endfor %}{{ ns.s }}");
  ExpectRefused(
      "{% set ns = namespace(s=['x']) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% "
      "endfor %}{{ ns.s }}");
  ExpectRefused(
      "{% set ns = namespace(s=['x']) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% "
      "endfor %}{{ ns.s }}");
  ExpectRefused(
      "{% set ns = namespace(s=['x']) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% "
      "endfor %}{{ ns.s|tojson }}");
  ExpectRefused(
      "{% set ns = namespace(s=[1], t=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] "
      "%}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}");
  ExpectRefused(
      "{% set ns = namespace(s=(1,)) %}{% for i in range(60) %}{% set ns.s = (ns.s, ns.s) %}{% "
      "endfor %}{{ {ns.s: 1} }}");
  ExpectRefused("{{ 'x' * 999999999999 }}");
  ExpectRefused("{{ [1] * 999999999999 }}");
  ExpectRefused("{{ ('x' * 1000000).replace('x', 'yyyyyyyyyy') }}");
  ExpectRefused("{{ ('x' * 100000).replace('', 'y' * 1000) }}");
  ExpectRefused("{{ ('x' * 1000000)|join('yyyyyyyy') }}");
  ExpectRefused("{{ ('y' * 1000000).join(['a'] * 1000) }}");
  ExpectRefused("{{ ('\\n' * 100000)|indent(1000, blank=true) }}");
  ExpectRefused("{{ 'a'.center(999999999999) }}{{ 'a'.zfill(99999999999) }}");
  ExpectRefused("{{ '%9999999999d' % 1 }}");
  ExpectRefused("{{ '{:9999999999}'.format(1) }}");
  ExpectRefused("{{ '%.99999f' % 1.0 }}");
  ExpectRefused("{{ [[[1]]]|tojson(indent=3000000) }}");
  ExpectRefused("{{ [1]|batch(99999999999, 0)|list }}");
  ExpectRefused("{{ 1|round(99999999999) * 10 ** 400 }}");
}

TEST(ChatTemplateLimits, LongLoopsAreRefused) {
  ExpectRefused("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}");
  ExpectRefused(
      "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}");
  ExpectRefused(
      "{{ range(100000)|map('string')|map('list')|map('join')|map('upper')|list|sort|list }}" +
      Times("{{ range(100000)|list|sort }}", 50));
  ExpectRefused("{% set r = range(100000)|list %}{% for a in r %}{{ a in r }}{% endfor %}");
  ExpectRefused(
      "{% set s = 'x' * 1000000 %}{% for a in range(100000) %}{{ s.count('y') }}{% endfor %}");
  ExpectRefused("{% set s = 'é' * 1000000 %}{% for a in range(100000) %}{{ s[a] }}{% endfor %}");
  ExpectRefused("{{ range(100001) }}");
  EXPECT_TRUE(Try("{{ ('a' * 2000000).rfind('b' + 'a' * 1000000) }}").ok);
  EXPECT_TRUE(Try("{{ ('a' * 2000000).find('a' * 1000000 + 'b') }}").ok);
}

// Work that makes nothing large must cost steps all the same.
TEST(ChatTemplateLimits, WorkWithoutResultsIsRefused) {
  const std::string loop = "{% for i in range(99999) %}";
  const std::string big =
      "{% set b = ' ' * 2000000 %}{% set x = 'x' * 2000000 %}{% set y = 'x' * 2000000 %}" + loop;
  for (const char* work :
       {"{% if b.strip() %}{% endif %}", "{% if x.startswith(y) %}{% endif %}",
        "{% if x == y %}{% endif %}", "{% if 'a'.find(x) %}{% endif %}",
        "{% if x|int %}{% endif %}", "{% if x.islower() %}{% endif %}",
        "{% if {x: 1}[y] %}{% endif %}", "{% if x.removeprefix(y) %}{% endif %}",
        "{% if x.rfind('y' + y) %}{% endif %}", "{% if x.rsplit('xy') %}{% endif %}",
        "{% if x.strip('y' * 40) %}{% endif %}"}) {
    ExpectRefused(big + work + "{% endfor %}");
  }
  std::string many;
  for (int i = 0; i < 40'000; ++i) many += "{% set a" + std::to_string(i) + "=1 %}";
  ExpectRefused(many + loop + "{% if a39999 %}{% endif %}{% endfor %}");
}

TEST(ChatTemplateLimits, EndlessCallsAreRefused) {
  ExpectRefused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
  ExpectRefused("{% macro m(n) %}{{ m(n) ~ m(n) }}{% endmacro %}{{ m(1) }}");
  ExpectRefused("{% macro m() %}{% call m() %}x{% endcall %}{% endmacro %}{{ m() }}");
  ExpectRefused("{% macro m(a=m()) %}{% endmacro %}{{ m() }}");
  ExpectRefused("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}");
  ExpectRefused("{{ 'a'|map(*(['map'] * 50000))|list }}");
}

TEST(ChatTemplateLimits, ValuesThatHoldThemselvesAreFreed) {
  // The leak checker of the sanitizer build looks on.
  EXPECT_TRUE(Try("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.l = [ns] %}ok").ok);
  EXPECT_TRUE(Try("{% set ns = namespace() %}{% for i in range(2000) %}{% set old = ns.m %}"
                  "{% macro m() %}{{ old }}{% endmacro %}{% set ns.m = m %}{% endfor %}ok")
                  .ok);
  ExpectRefused("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}");
  ExpectRefused(
      "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor "
      "%}");
  ExpectRefused(
      "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = cycler(ns.x) %}{% "
      "endfor %}");
  ExpectRefused(
      "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = [ns.x]|reverse %}{% "
      "endfor %}");
  ExpectRefused(
      "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% for j in [ns.x] %}{% set ns.x = "
      "loop %}{% endfor %}{% endfor %}");
}

TEST(ChatTemplateLimits, DeepJsonIsRefusedBeforeItIsBuilt) {
  ExpectRefused("{{ messages }}", Times("[", 1'000'000));
  ExpectRefused("{{ messages }}", Times("{\"a\":", 1'000'000));
  ExpectRefused("{{ messages }}", Times("[", 65) + Times("]", 65));
  EXPECT_TRUE(Try("{{ messages }}", Times("[", 64) + Times("]", 64)).ok);
  ExpectRefused("{{ messages }}", "[\"" + std::string(18 << 20, 'x') + "\"]");
}

TEST(ChatTemplateLimits, LimitsAreTheCallers) {
  TemplateLimits limits;
  limits.max_output_bytes = 10;
  EXPECT_TRUE(Try("0123456789", "[]", limits).ok);
  EXPECT_FALSE(Try("0123456789a", "[]", limits).ok);
  limits = TemplateLimits();
  limits.max_steps = 100;
  EXPECT_TRUE(Try("{% for i in range(10) %}{% endfor %}", "[]", limits).ok);
  EXPECT_FALSE(Try("{% for i in range(200) %}{% endfor %}", "[]", limits).ok);
  limits = TemplateLimits();
  limits.max_range = 5;
  EXPECT_TRUE(Try("{{ range(5) }}", "[]", limits).ok);
  EXPECT_FALSE(Try("{{ range(6) }}", "[]", limits).ok);
  limits = TemplateLimits();
  limits.max_depth = 4;
  EXPECT_TRUE(Try("{{ [[1]] }}", "[]", limits).ok);
  EXPECT_FALSE(Try("{{ [[[[[1]]]]] }}", "[]", limits).ok);
}

}  // namespace
}  // namespace lull
