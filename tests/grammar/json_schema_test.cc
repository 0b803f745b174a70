// JSON Schema, a keyword at a time: what is taken, what is not, what is refused by name.
#include <gtest/gtest.h>

#include "tests/grammar/walk.h"

namespace lull::grammar {
namespace {

GrammarSpec Schema(std::string_view text) {
  return {GrammarSpec::Kind::kJsonSchema, std::string(text), {}, {}, {}};
}

struct Case {
  const char* schema;
  std::vector<const char*> valid, invalid;
};

void Check(const std::vector<Case>& cases) {
  const Bench bench;
  for (const Case& c : cases) {
    const auto grammar = Grammar::Compile(Schema(c.schema));
    ASSERT_TRUE(grammar.ok()) << c.schema << ": " << grammar.status().ToString();
    const auto accepts = [&](std::string_view text) {
      auto constraint = bench.New(*grammar);
      return bench.AcceptBytes(*constraint, text) && constraint->Accept(bench.end()).ok();
    };
    for (const char* text : c.valid) EXPECT_TRUE(accepts(text)) << c.schema << " on " << text;
    for (const char* text : c.invalid) EXPECT_FALSE(accepts(text)) << c.schema << " on " << text;
  }
}

TEST(JsonSchema, Types) {
  Check({
      {R"({"type":"null"})", {"null"}, {"true", "0", "\"null\"", ""}},
      {R"({"type":"boolean"})", {"true", "false"}, {"null", "tru", "True"}},
      {R"({"type":"string"})", {R"("")", R"("a\"b")"}, {"a", "1", "\"a"}},
      {R"({"type":"integer"})",
       {"0", "-1", "123456789012345678"},
       {"1.0", "1e3", "01", "1234567890123456789", "-"}},
      {R"({"type":"number"})", {"0", "-1.5", "2E-9", "1e+10", "0.25"}, {"1.", ".5", "1e", "1e100"}},
      {R"({"type":"array"})", {"[]", "[1, \"a\", {}]", "[\n  1,\n  2\n]"}, {"[1,]", "{}", "[,]"}},
      {R"({"type":"object"})", {"{}", R"({"a":[1]})"}, {"[]", "null"}},
      {R"({"type":["string","null"]})", {"null", R"("x")"}, {"1", "{}"}},
      {R"({"type":"string","nullable":true})", {"null", R"("x")"}, {"1"}},
      {"true", {"1", "null", "[{}]"}, {"", "nul"}},
      {"{}", {"1", "null", R"({"a":"b"})"}, {"", "nul"}},
      {R"({"title":"T","description":"D","default":1,"x-order":2})", {"1", "\"a\""}, {""}},
  });
}

// Two alternatives stand at the same place of a string, on stacks of their own, when the states
// made for its first ten thousand characters are forgotten.
TEST(JsonSchema, LongStringsForgetNoAlternative) {
  const std::string item = R"({"type":"string","maxLength":50000,"minLength":)";
  const std::string schema =
      R"({"anyOf":[{"prefixItems":[)" + item + R"(2},{"const":1}],"minItems":2,"items":false},)" +
      R"({"prefixItems":[)" + item + R"(0},{"const":2}],"minItems":2,"items":false}]})";
  const Bench bench;
  const auto grammar = Grammar::Compile(Schema(schema));
  ASSERT_TRUE(grammar.ok()) << grammar.status().ToString();
  for (const char* last : {"1", "2"}) {
    auto constraint = bench.New(*grammar);
    EXPECT_TRUE(
        bench.AcceptBytes(*constraint, "[\"" + std::string(30'000, 'x') + "\"," + last + "]"))
        << last;
  }
}

TEST(JsonSchema, EnumAndConst) {
  Check({
      {R"({"enum":["a",1,null,true,[1,{"b":2}],"\u00e9\n"]})",
       {R"("a")", "1", "null", "true", R"([1,{"b":2}])", "\"\xC3\xA9\\n\""},
       {"\"b\"", "2", "false", "[1]"}},
      {R"({"const":{"k":"v"}})", {R"({"k":"v"})"}, {"{}"}},
      {R"({"const":-0.5})", {"-0.5"}, {"0.5", "-0.50"}},
      {R"({"type":"string","enum":["a",1]})", {R"("a")"}, {"1"}},
      {R"({"type":"integer","enum":[1,2.5,3,10],"maximum":5})", {"1", "3"}, {"2.5", "10"}},
      {R"({"enum":["a","bb","ccc"],"minLength":2,"maxLength":2})", {R"("bb")"}, {R"("a")"}},
      {R"({"enum":[1,2,3],"const":2})", {"2"}, {"1", "3"}},
  });
}

TEST(JsonSchema, Strings) {
  Check({
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("abc")", "\"\xC3\xA9\xF0\x9F\x98\x80\"", R"("\n\u00e9")"},
       {R"("")", R"("a")", R"("abcd")", R"("\u00e9")"}},
      {R"({"type":"string","maxLength":0})", {R"("")"}, {R"("a")"}},
      {R"({"minLength":1})", {R"("a")"}, {R"("")", "1"}},
      {R"({"type":"string","maxLength":1000000})", {R"("a")", R"("")"}, {"1"}},
      {R"({"type":"string","pattern":"^[a-z]+$"})", {R"("abc")"}, {R"("")", R"("a1")", R"("A")"}},
      {R"({"type":"string","pattern":"b"})", {R"("abc")", R"("b")"}, {R"("ac")"}},
      {R"({"type":"string","pattern":"^a.c"})", {R"("a\"c")", R"("a\\cd")"}, {R"("a"c")"}},
      {R"({"type":"string","pattern":"^\\s$"})", {R"("\n")", R"(" ")", R"("\t")"}, {R"("x")"}},
      {R"({"type":"string","pattern":"^[\\x00-\\x1f]$"})",
       {R"("\u0000")", R"("\u001f")", R"("\b")"},
       {R"("a")"}},
      {R"({"type":"string","pattern":"^a*$","minLength":2,"maxLength":3})",
       {R"("aa")", R"("aaa")"},
       {R"("a")", R"("aaaa")", R"("ab")"}},
      {R"({"type":"string","pattern":"x","minLength":3})",
       {R"("axb")", R"("axbcdefgh")"},
       {R"("ax")", R"("abc")"}},
      {R"({"type":"string","pattern":"^(\u00e9|\")*$","maxLength":2})",
       {"\"\xC3\xA9\\\"\"", R"("")"},
       {"\"\xC3\xA9\xC3\xA9\xC3\xA9\""}},
  });
}

TEST(JsonSchema, Formats) {
  Check({
      {R"({"type":"string","format":"date"})",
       {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2024-13-01")", R"("2024-04-31")",
        R"("0000-01-01")", R"("2024-1-1")"}},
      {R"({"type":"string","format":"time"})",
       {R"("23:59:59Z")", R"("00:00:00.5+01:30")"},
       {R"("24:00:00Z")", R"("12:00:00")", R"("12:60:00Z")"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-05-06T07:08:09Z")"},
       {R"("2024-05-06")", R"("2024-05-06 07:08:09Z")"}},
      {R"({"type":"string","format":"uuid"})",
       {R"("123e4567-e89b-12d3-a456-426614174000")"},
       {R"("123e4567e89b12d3a456426614174000")"}},
      {R"({"type":"string","format":"ipv4"})",
       {R"("192.168.0.255")"},
       {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"}},
      {R"({"type":"string","format":"email"})",
       {R"("a.b+c@example.org")"},
       {R"("a@b")", R"("@b.de")"}},
      {R"({"type":"string","format":"hostname"})", {R"("a-b.example")"}, {R"("-a")", R"("a..b")"}},
      {R"({"type":"string","format":"uri"})", {R"("https://example.org/a?b=c#d")"}, {R"("a b")"}},
      {R"({"type":"string","format":"duration"})",
       {R"("P1DT2H")", R"("P3W")", R"("PT5M1S")"},
       {R"("P")", R"("PT")", R"("1D")"}},
      {R"({"type":"integer","format":"int32"})",
       {"2147483647", "-2147483648"},
       {"2147483648", "-2147483649"}},
      {R"({"type":"integer","format":"uint8"})", {"0", "255"}, {"256", "-1"}},
      {R"({"type":"number","format":"double"})", {"1.5"}, {"\"a\""}},
  });
}

TEST(JsonSchema, NumberBounds) {
  Check({
      {R"({"type":"integer","minimum":0,"maximum":120})",
       {"0", "9", "10", "99", "100", "120"},
       {"-1", "121", "999", "1.0"}},
      {R"({"type":"integer","minimum":-15,"maximum":7})",
       {"-15", "-9", "-1", "0", "7"},
       {"-16", "8", "-20", "10"}},
      {R"({"type":"integer","exclusiveMinimum":0})",
       {"1", "999999999999999999"},
       {"0", "-0", "-1"}},
      {R"({"type":"integer","exclusiveMaximum":-3})", {"-4", "-10"}, {"-3", "-2", "0", "3"}},
      {R"({"type":"integer","minimum":1.5,"maximum":3.5})", {"2", "3"}, {"1", "4", "0"}},
      {R"({"type":"integer","minimum":95,"maximum":105})",
       {"95", "99", "100", "105"},
       {"94", "106", "9", "1000"}},
      {R"({"type":"integer","minimum":0,"exclusiveMinimum":true})", {"1"}, {"0"}},
      {R"({"type":"number","minimum":0,"maximum":1})",
       {"0", "1", "0.5", "1.0", "0.0", "0.99999", "1.000"},
       {"1.01", "2", "-0.1", "1e0", "1.00001"}},
      {R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1})",
       {"0.5", "0.001", "0.9"},
       {"0", "0.0", "1", "1.0", "-0.5", "0."}},
      {R"({"type":"number","minimum":-2.25,"maximum":-0.75})",
       {"-2.25", "-2.2", "-1", "-1.999", "-0.75", "-0.8", "-2.250"},
       {"-2.26", "-0.74", "0", "1", "-2.2500001", "-3"}},
      {R"({"type":"number","minimum":0.001})", {"0.001", "0.01", "5", "0.0010"}, {"0", "0.0009"}},
      {R"({"type":"number","maximum":12.5})", {"12.5", "-100.25", "0", "12.4999"}, {"12.51", "13"}},
      {R"({"type":"number","minimum":1e2})", {"100", "100.5"}, {"99.9"}},
      {R"({"type":"number","multipleOf":1})", {"3"}, {"3.5"}},
      {R"({"minimum":3})", {"3", "4.5"}, {"2", "\"a\""}},
  });
}

TEST(JsonSchema, Arrays) {
  Check({
      {R"({"type":"array","items":{"type":"integer"}})",
       {"[]", "[1]", "[1, 2,3]"},
       {"[\"a\"]", "[1 2]"}},
      {R"({"type":"array","items":{"type":"null"},"minItems":2,"maxItems":3})",
       {"[null,null]", "[null,null,null]"},
       {"[]", "[null]", "[null,null,null,null]"}},
      {R"({"items":{"type":"null"},"minItems":2})",
       {"[null,null]", "[null,null,null,null]"},
       {"[null]", "[]"}},
      {R"({"type":"array","maxItems":0})", {"[]", "[ ]"}, {"[1]"}},
      {R"({"type":"array","maxItems":1})", {"[]", "[{}]"}, {"[1,2]"}},
      {R"({"prefixItems":[{"type":"null"},{"type":"boolean"}],"items":false,"minItems":2})",
       {"[null,true]"},
       {"[null]", "[null,true,1]", "[true,null]"}},
      {R"({"type":"array","prefixItems":[{"type":"null"}]})",
       {"[]", "[null]", "[null,1]"},
       {"[1]"}},
      {R"({"prefixItems":[{"type":"null"}],"items":{"type":"integer"},"minItems":1,"maxItems":3})",
       {"[null]", "[null,1,2]"},
       {"[]", "[1]", "[null,1,2,3]", "[null,null]"}},
      {R"({"items":[{"type":"null"}],"additionalItems":{"type":"integer"}})",
       {"[null,1]"},
       {"[null,null]"}},
      {R"({"type":"array","items":{"type":"array","items":{"type":"integer"}}})",
       {"[[1],[]]"},
       {"[1]"}},
      {R"({"type":"array","uniqueItems":false})", {"[1,1]"}, {"{}"}},
  });
}

TEST(JsonSchema, Objects) {
  Check({
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"null"}},"required":["a","b"]})",
       {R"({"a":1,"b":null})", "{ \"a\" : 1 , \"b\": null }", "{\n  \"a\": 1,\n  \"b\": null\n}"},
       {R"({"a":1})", R"({"b":null,"a":1})", R"({"a":1,"b":null,"c":1})", "{}",
        R"({"a":"1","b":null})"}},
      {R"({"properties":{"a":{"type":"integer"},"b":{"type":"null"},"c":{}}})",
       {"{}", R"({"a":1})", R"({"b":null})", R"({"a":1,"c":[1]})", R"({"b":null,"c":0})"},
       {R"({"b":null,"a":1})", R"({"a":1,})", R"({,"a":1})", R"({"a":1,"a":1})"}},
      {R"({"properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["b"]})",
       {R"({"b":1})", R"({"a":1,"b":2})"},
       {"{}", R"({"a":1})"}},
      {R"({"type":"object","additionalProperties":{"type":"integer"}})",
       {"{}", R"({"x":1,"y":2})"},
       {R"({"x":"1"})"}},
      {R"({"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"null"}})",
       {R"({"a":null})"},
       {R"({"a":1})"}},
      {R"({"type":"object","additionalProperties":false})", {"{}", "{ }"}, {R"({"a":1})"}},
      {R"({"properties":{"a":{"type":"null"}},"additionalProperties":true})",
       {"{}", R"({"a":null,"b":[]})", R"({"b":1})", R"({"ab":1})", R"({"":1})", "{\"\xC3\xA9\":1}"},
       {R"({"a":1})", R"({"b":1,"a":1})", R"({"\u0061":1})"}},
      {R"({"properties":{"ab":{"type":"null"},"a\"c":{"type":"null"}},"additionalProperties":{"type":"integer"}})",
       {R"({"a":1,"abc":2,"b\n":3})", R"({"ab":null,"a\"c":null,"x":1})"},
       {R"({"ab":1})", R"({"a\"c":1})"}},
      {R"({"type":"object","required":["z"]})", {R"({"z":1})"}, {"{}", R"({"z":1,"y":1})"}},
      {R"({"type":"object","required":["z"],"additionalProperties":{"type":"null"}})",
       {R"({"z":null})", R"({"z":null,"y":null})"},
       {R"({"z":1})"}},
      {R"({"type":"object","patternProperties":{"^n_":{"type":"integer"}},"additionalProperties":false})",
       {"{}", R"({"n_a":1,"n_":2})"},
       {R"({"a":1})", R"({"n_a":"x"})"}},
      {R"({"properties":{"k\u00e9y \"q\"":{"const":1}},"required":["k\u00e9y \"q\""]})",
       {"{\"k\xC3\xA9y \\\"q\\\"\":1}"},
       {"{}"}},
      {R"({"properties":{"a":{}},"required":["a"],"minProperties":1,"maxProperties":1})",
       {R"({"a":1})"},
       {"{}"}},
      {R"({"properties":{"a":false,"b":{"type":"null"}}})",
       {"{}", R"({"b":null})"},
       {R"({"a":1})"}},
  });
}

TEST(JsonSchema, Combinations) {
  Check({
      {R"({"anyOf":[{"type":"string"},{"type":"null"}]})", {"null", R"("a")"}, {"1"}},
      {R"({"anyOf":[{"properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["k","x"]},
                    {"properties":{"k":{"const":"ab"},"y":{"type":"null"}},"required":["k","y"]}]})",
       {R"({"k":"a","x":1})", R"({"k":"ab","y":null})"},
       {R"({"k":"a","y":null})", R"({"k":"ab","x":1})"}},
      {R"({"type":"integer","anyOf":[{"minimum":10},{"maximum":-10}]})", {"10", "-10"}, {"0", "9"}},
      {R"({"anyOf":[{"minLength":2},{"type":"integer"}],"oneOf":[{"type":"string"},{"type":"integer"}]})",
       {R"("ab")", "5"},
       {R"("a")", "null"}},
      {R"({"oneOf":[{"type":"string"},{"type":"integer"}]})", {R"("a")", "1"}, {"null"}},
      {R"({"oneOf":[{"properties":{"k":{"const":"a"}},"required":["k"]},
                    {"properties":{"k":{"enum":["b","c"]}},"required":["k"]}]})",
       {R"({"k":"a"})", R"({"k":"c"})"},
       {"{}", R"({"k":"d"})"}},
      {R"({"oneOf":[{"properties":{"a":{}},"required":["a"]},{"properties":{"b":{}},"required":["b"]}]})",
       {R"({"a":1})", R"({"b":1})"},
       {"{}", R"({"a":1,"b":1})"}},
      {R"({"oneOf":[{"const":1},{"const":"x"}]})", {"1", R"("x")"}, {"2"}},
      {R"({"oneOf":[{"type":"integer"}]})", {"1"}, {"null"}},
      {R"({"allOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},
                    {"properties":{"b":{"type":"null"},"a":{"minimum":5}}}]})",
       {R"({"a":5})", R"({"a":6,"b":null})"},
       {R"({"a":4})", R"({"b":null})"}},
      {R"({"allOf":[{"type":["string","null"]},{"type":["null","integer"]}]})",
       {"null"},
       {"1", R"("a")"}},
      {R"({"allOf":[{"properties":{"a":{}},"additionalProperties":false},{"properties":{"b":{}}}]})",
       {"{}", R"({"a":1})"},
       {R"({"b":1})"}},
      {R"({"allOf":[{"type":"array","items":{"minimum":3}}],"items":{"type":"integer"}})",
       {"[3]"},
       {"[2]", "[3.5]"}},
  });
}

TEST(JsonSchema, References) {
  Check({
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"type":"null"}}})", {"null"}, {"1"}},
      {R"({"$ref":"#/definitions/a~1b%20c","definitions":{"a/b c":{"type":"null"}}})",
       {"null"},
       {"1"}},
      {R"({"properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},
           "required":["v","next"]})",
       {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":{"v":3,"next":null}}})"},
       {R"({"v":1})", R"({"v":1,"next":{"v":2}})"}},
      {R"({"$defs":{"t":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/t"}}},
           "required":["kids"]}},"$ref":"#/$defs/t"})",
       {R"({"kids":[{"kids":[]},{"kids":[{"kids":[]}]}]})"},
       {R"({"kids":[1]})"}},
      {R"({"$ref":"#/$defs/s","maxLength":2,"$defs":{"s":{"type":"string","minLength":1}}})",
       {R"("a")", R"("ab")"},
       {R"("")", R"("abc")"}},
      {R"({"allOf":[{"$ref":"#/$defs/s"}],"description":"d","$defs":{"s":{"type":"string"}}})",
       {R"("a")"},
       {"1"}},
      // Two ways into the same definition that only part later.
      {R"({"$defs":{"e":{"anyOf":[{"type":"array","prefixItems":[{"$ref":"#/$defs/e"},{"const":1}],"items":false,"minItems":2},
                                  {"type":"array","prefixItems":[{"$ref":"#/$defs/e"},{"const":2}],"items":false,"minItems":2},
                                  {"type":"null"}]}},"$ref":"#/$defs/e"})",
       {"null", "[null,1]", "[[[null,2],1],2]", "[[[[[[null,1],1],2],1],2],1]"},
       {"[null,3]", "[null]"}},
  });
}

struct Refusal {
  const char* schema;
  ErrorCode code;
  const char* message;
  const char* where;
};

TEST(JsonSchema, WhatIsNotUnderstoodIsRefusedByNameAndPlace) {
  const ErrorCode kNot = ErrorCode::kUnsupported, kBad = ErrorCode::kInvalidInput;
  const Refusal refusals[] = {
      {R"({"not":{}})", kNot, "\"not\"", "#"},
      {R"({"properties":{"a":{"if":{}}}})", kNot, "\"if\"", "#/properties/a"},
      {R"({"type":"object","properties":{"a":{"type":"array","items":{"contains":{}}}}})", kNot,
       "\"contains\"", "#/properties/a/items"},
      {R"({"type":"string","patern":"a"})", kNot, "\"patern\"", "#"},
      {R"({"uniqueItems":true})", kNot, "uniqueItems", "#/uniqueItems"},
      {R"({"multipleOf":0.1})", kNot, "multipleOf", "#/multipleOf"},
      {R"({"propertyNames":{"maxLength":3}})", kNot, "propertyNames", "#/propertyNames"},
      {R"({"dependentRequired":{}})", kNot, "dependentRequired", "#"},
      {R"({"unevaluatedProperties":false})", kNot, "unevaluatedProperties", "#"},
      {R"({"type":"object","minProperties":1})", kNot, "count of members", "#/minProperties"},
      {R"({"type":"string","format":"ipv6"})", kNot, "ipv6", "#/format"},
      {R"({"type":"string","pattern":"(?=b)a"})", kNot, "lookahead", "#/pattern"},
      {R"({"type":"string","pattern":"a","format":"uuid"})", kNot, "more than one", "#/format"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", kNot, "oneOf", "#/oneOf"},
      {R"({"properties":{"a":{},"b":{}},"oneOf":[{"required":["a"]},{"required":["b"]}]})", kNot,
       "oneOf", "#/oneOf"},
      {R"({"const":123456789012345678901})", kBad, "64 bits", "json_schema"},
      // What their anyOf adds are texts that both of the alternatives take, or a member of the
      // other.
      {R"({"oneOf":[{"required":["k"],"properties":{"k":{"const":1}},"anyOf":[{"type":"string"},{"type":"object"}]},
                    {"required":["k"],"properties":{"k":{"const":2}},"anyOf":[{"type":"string"},{"type":"object"}]}]})",
       kNot, "oneOf", "#/oneOf"},
      {R"({"oneOf":[{"type":"object","properties":{"x":{}},"required":["x"],
                     "anyOf":[{"properties":{"y":{}}}]},
                    {"type":"object","properties":{"y":{}},"required":["y"],
                     "anyOf":[{"properties":{"x":{}}}]}]})",
       kNot, "oneOf", "#/oneOf"},
      // The members that both require are texts by what else is said of them.
      {R"({"oneOf":[{"properties":{"k":{"required":["a"],"properties":{"a":{"const":1}}}},"required":["k"]},
                    {"properties":{"k":{"required":["a"],"properties":{"a":{"const":2}}}},"required":["k"]}],
           "allOf":[{"additionalProperties":{"type":"string"}}]})",
       kNot, "oneOf", "#/oneOf"},
      {R"({"$ref":"http://example.org/s"})", kNot, "$ref", "#/$ref"},
      {R"({"patternProperties":{"a":{}},"properties":{"b":{}}})", kNot, "patternProperties",
       "#/patternProperties"},
      {R"({"enum":["a"],"pattern":"a"})", kNot, "pattern", "#/pattern"},
      {R"({"minimum":1e30})", kNot, "18 digits", "#/minimum"},
      {R"({"$ref":"#/$defs/none"})", kBad, "nothing is at", "#/$ref"},
      {R"({"$ref":"#"})", kBad, "", "json_schema"},
      {R"({"anyOf":[{"$ref":"#"},{"$ref":"#"}]})", kBad, "", "json_schema"},
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}})", kBad,
       "", "json_schema"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", kBad, "refers to itself", "json_schema"},
      {R"({"allOf":[{"$ref":"#"}],"type":"null"})", kNot, "part of itself", "#"},
      {R"({"type":"nul"})", kBad, "type", "#/type"},
      {R"({"type":[]})", kBad, "type", "#/type"},
      {R"({"type":"string","minLength":-1})", kBad, "minLength", "#/minLength"},
      {R"({"type":"string","minLength":3,"maxLength":2})", kBad, "nothing satisfies",
       "json_schema"},
      {R"({"type":"integer","minimum":3,"maximum":2})", kBad, "nothing satisfies", "json_schema"},
      {R"({"type":"integer","exclusiveMinimum":3,"exclusiveMaximum":4})", kBad, "nothing",
       "json_schema"},
      {R"({"type":"array","minItems":3,"maxItems":2})", kBad, "nothing satisfies", "json_schema"},
      {R"({"enum":[]})", kBad, "enum", "#/enum"},
      {R"({"enum":[1],"type":"string"})", kBad, "nothing satisfies", "json_schema"},
      {R"({"allOf":[{"type":"string"},{"type":"null"}]})", kBad, "nothing satisfies",
       "json_schema"},
      {R"({"properties":{"a":false},"required":["a"]})", kBad, "nothing satisfies", "json_schema"},
      {R"({"properties":{},"required":["a"],"additionalProperties":false})", kBad, "nothing",
       "json_schema"},
      {R"({"properties":{"n":{"$ref":"#"}},"required":["n"]})", kBad, "nothing satisfies",
       "json_schema"},
      {"false", kBad, "nothing satisfies", "json_schema"},
      {"", kBad, "JSON", "json_schema"},
      {"{", kBad, "JSON", "json_schema"},
      {"[]", kBad, "a schema is", "#"},
      {R"({"properties":{"a":1}})", kBad, "a schema is", "#/properties/a"},
      {R"({"a":1,"a":2})", kBad, "twice", "json_schema"},
      {"{\"const\":\"\xFF\"}", kBad, "UTF-8", "json_schema"},
  };
  for (const Refusal& refusal : refusals) {
    const Status status = Grammar::Compile(Schema(refusal.schema)).status();
    EXPECT_EQ(status.code(), refusal.code) << refusal.schema << ": " << status.ToString();
    EXPECT_NE(status.error().message.find(refusal.message), std::string::npos)
        << refusal.schema << ": " << status.ToString();
    EXPECT_EQ(status.error().where, refusal.where) << refusal.schema << ": " << status.ToString();
  }
}

std::string Repeat(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(JsonSchema, SizeAndDepthAreBounded) {
  const int kDeep = 60'000;
  std::string many = R"({"properties":{)";
  for (int i = 0; i < 3000; ++i) many += "\"p" + std::to_string(i) + "\":{},";
  many.back() = '}';
  const std::string schemas[] = {
      Repeat(R"({"items":)", kDeep) + "{}" + Repeat("}", kDeep),
      Repeat(R"({"anyOf":[)", kDeep) + "{}" + Repeat("]}", kDeep),
      Repeat("[", kDeep),
      Repeat("[", kDeep) + Repeat("]", kDeep),
      R"({"type":"string","pattern":")" + Repeat("(", kDeep) + R"("})",
      R"({"const":)" + Repeat("[", kDeep) + Repeat("]", kDeep) + "}",
      many + "}",
      R"({"const":")" + Repeat("a", 600'000) + "\"}",
      R"({"type":"array","minItems":1000000})",
      R"({"type":"array","items":{"type":"array","items":{"type":"null"},"minItems":90000},"minItems":90000,"prefixItems":[{"type":"array","minItems":99999},{"type":"array","minItems":99999}]})",
      R"({"type":"string","minLength":2000000})",
      R"({"type":"string","pattern":"^(a|b)*$","maxLength":900000})",
      R"({"oneOf":[)" + Repeat(R"({"const":1},)", 300) + R"({"const":2}]})",
      R"({"allOf":[{"enum":[)" + Repeat("1,", 9000) + R"(2]},{"enum":[)" + Repeat("3,", 9000) +
          "4]}]}",
      // 2^n ways to combine.
      R"({"type":"object","allOf":[)" +
          Repeat(R"({"anyOf":[{"minProperties":0},{"maxProperties":9}]},)", 40) + "{}]}",
  };
  for (const std::string& schema : schemas) {
    const Status status = Grammar::Compile(Schema(schema)).status();
    EXPECT_FALSE(status.ok()) << schema.substr(0, 60);
    EXPECT_NE(status.code(), ErrorCode::kInternal) << status.ToString();
  }
}

TEST(JsonSchema, LargeButOrdinaryOnesAreTaken) {
  std::string schema = R"({"type":"object","properties":{)";
  for (int i = 0; i < 500; ++i) {
    schema +=
        "\"property_" + std::to_string(i) + R"(":{"type":["string","null"],"maxLength":200},)";
  }
  schema.back() = '}';
  const Bench bench;
  EXPECT_TRUE(bench.Accepts(Schema(schema + "}"), R"({"property_3":"x","property_499":null})"));
  EXPECT_FALSE(bench.Accepts(Schema(schema + "}"), R"({"property_4":"x","property_3":null})"));
}

}  // namespace
}  // namespace lull::grammar
