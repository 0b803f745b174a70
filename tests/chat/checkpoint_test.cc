// No template and no conversation keeps a thread 0.3 ms from a checkpoint.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "chat/chat_template.h"
#include "tests/support/gap_meter.h"

namespace lull {
namespace {

using testing::ExpectGaps;
using testing::GapMeter;
using testing::kMaxGapMs;

std::string Times(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

void ExpectRenderGaps(const char* what, const std::string& source, const std::string& messages) {
  GapMeter meter;
  ExecContext ctx;
  ctx.pacer = &meter;
  auto parsed = ChatTemplate::Parse(source);
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  TemplateInput input;
  input.messages_json = messages;
  ExpectGaps(what, meter, kMaxGapMs, [&] { (void)(*parsed)->Render(input, ctx); });
}

TEST(ChatCheckpointTest, Parsing) {
  const std::pair<const char*, std::string> sources[] = {
      {"text", std::string(1'000'000, 'x')},
      {"carriage returns", std::string(1'000'000, '\r')},
      {"beyond ASCII", Times("é", 500'000)},
      {"spaces", "{{ 1 " + std::string(1'000'000, ' ') + "}}"},
      {"string", "{{ '" + std::string(1'000'000, 'x') + "' }}"},
      {"comment", "{# " + std::string(1'000'000, 'x') + " #}"},
      {"operators", "{{ 1" + Times(" + 1", 20'000) + " }}"},
      {"tags", Times("{% if a %}b{% endif %}", 10'000)}};
  GapMeter meter;
  ExecContext ctx;
  ctx.pacer = &meter;
  for (const auto& [name, source] : sources) {
    ExpectGaps(name, meter, kMaxGapMs, [&] {
      const auto parsed = ChatTemplate::Parse(source, {}, ctx);
      meter.Checkpoint();
      meter.Stop();  // freeing the tree is the caller's
    });
  }
}

TEST(ChatCheckpointTest, LongLoops) {
  ExpectRenderGaps("empty loop",
                   "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
                   "[]");
  ExpectRenderGaps("output", "{% for a in range(50000) %}{{ a }} and more{% endfor %}", "[]");
  ExpectRenderGaps("names",
                   "{% set ns = namespace(n=0) %}{% for a in range(50000) %}{% set ns.n = ns.n + a "
                   "% 7 %}{% endfor %}{{ ns.n }}",
                   "[]");
  ExpectRenderGaps(
      "methods",
      "{% for a in range(20000) %}{% set x = ('a ' ~ a).upper().split()[-1] | trim %}{% endfor %}",
      "[]");
  ExpectRenderGaps("sort", "{{ (range(3000) | list | sort(reverse=true))[0] }}", "[]");
}

// Values end wherever they are held last: in a variable set anew, a loop left, at the end.
TEST(ChatCheckpointTest, ManyValues) {
  ExpectRenderGaps("numbers", "{% set x = range(90000) | list %}{% set x = 1 %}{{ x }}", "[]");
  ExpectRenderGaps("strings", "{% set x = range(40000) | map('string') | list %}{{ x | length }}",
                   "[]");
  ExpectRenderGaps("pieces", "{% set x = ('a b ' * 40000).split() %}{% set x = 1 %}{{ x }}", "[]");
  ExpectRenderGaps("pairs", "{% for k in range(60000) | batch(2) %}{% endfor %}", "[]");
  ExpectRenderGaps("sorted", "{{ (range(90000) | list | sort(reverse=true))[0] }}", "[]");
  ExpectRenderGaps("unique", "{{ range(40000) | map('string') | unique | list | length }}", "[]");
  ExpectRenderGaps(
      "groups", "{% for k, v in range(3000) | map('string') | groupby('x') %}{% endfor %}", "[]");
  ExpectRenderGaps("left",
                   "{% for a in range(90000) | list %}{% if a == 9 %}{% break %}{% endif %}"
                   "{% endfor %}",
                   "[]");
  std::string symbols, macros, spaces;
  for (int i = 0; i < 20'000; ++i) {
    const std::string n = std::to_string(i);
    symbols += "{{ a" + n + " }}";
    if (i < 10'000) macros += "{% macro m" + n + "() %}{% endmacro %}";
  }
  ExpectRenderGaps("symbols", symbols, "[]");
  ExpectRenderGaps("macros", macros, "[]");
  ExpectRenderGaps("namespaces",
                   "{% for a in range(20000) %}{% set n = namespace(x=a) %}{% endfor %}", "[]");
  ExpectRenderGaps("joined", "{% set y = 'abcdefgh' * 60000 %}{{ (y ~ y) | length }}", "[]");
  std::string object = "[{\"role\":\"user\"";
  for (int i = 0; i < 20'000; ++i)
    object += ",\"key" + std::to_string(i) + "\":[" + std::to_string(i) + "]";
  ExpectRenderGaps("wide object", "{{ messages[0] | length }}", object + "}]");
}

TEST(ChatCheckpointTest, LongMessages) {
  for (const std::string& content : {std::string(300'000, 'x'), Times("Grüße, Welt! ", 20'000),
                                     Times("line\\n", 50'000), Times("\\u00e9", 50'000)}) {
    const std::string messages = "[{\"role\":\"user\",\"content\":\"" + content + "\"}]";
    for (const char* use : {"{{ c }}",
                            "{{ c ~ c }}",
                            "{{ c + 'x' }}",
                            "{{ c | trim }}",
                            "{{ c.strip('y') }}",
                            "{{ c | upper }}",
                            "{{ c | lower }}",
                            "{{ c | title }}",
                            "{{ c | capitalize }}",
                            "{{ c | length }}",
                            "{{ c | tojson }}",
                            "{{ c | replace('x', 'yy') }}",
                            "{{ c | e }}",
                            "{{ 'z' in c }}",
                            "{{ c.find('zzz') }}",
                            "{{ c.rfind('zzz') }}",
                            "{{ c.count('q') }}",
                            "{{ c.split('</think>')[-1] }}",
                            "{{ c.rsplit('</think>', 1)[0] }}",
                            "{{ c[5:-5] }}",
                            "{{ c[::-1] | length }}",
                            "{{ c.isalpha() }}",
                            "{{ c.islower() }}",
                            "{{ c.startswith(c) }}",
                            "{{ c == c ~ '' }}",
                            "{{ c | striptags | length }}",
                            "{{ c | wordcount }}",
                            "{{ c | int }}",
                            "{{ [c] | string | length }}",
                            "{{ c.center(400000) }}"}) {
      ExpectRenderGaps(use, std::string("{% set c = messages[0]['content'] %}") + use, messages);
    }
  }
}

TEST(ChatCheckpointTest, ManyMessages) {
  const std::string message = R"({"role":"user","content":"Is this file a risk?"})";
  std::string messages = "[" + message;
  for (int i = 0; i < 1000; ++i) messages += "," + message;
  ExpectRenderGaps("messages",
                   "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + "
                   "'<|im_end|>\n' }}{% endfor %}",
                   messages + "]");
}

}  // namespace
}  // namespace lull
