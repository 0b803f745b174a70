#include "sched/admission.h"

#include <gtest/gtest.h>

namespace lull {
namespace {

constexpr RequestLimits kLimits{.vocab_size = 100, .max_context_tokens = 32};

Request Prompt(size_t n) {
  Request request;
  request.prompt_tokens.assign(n, 1);
  return request;
}

TEST(CheckRequest, SaysHowLongThePromptMayBe) {
  EXPECT_TRUE(CheckRequest(Prompt(31), kLimits).ok());
  const Status status = CheckRequest(Prompt(32), kLimits);
  EXPECT_EQ(status.code(), ErrorCode::kContextOverflow);
  EXPECT_NE(status.error().message.find("32"), std::string::npos);
  EXPECT_NE(status.error().hint.find("at most 31 tokens"), std::string::npos);
}

TEST(CheckRequest, NamesTheField) {
  EXPECT_EQ(CheckRequest(Prompt(0), kLimits).error().where, "prompt_tokens");
  Request request = Prompt(3);
  request.prompt_tokens[2] = 100;
  EXPECT_EQ(CheckRequest(request, kLimits).error().where, "prompt_tokens[2]");
  request.prompt_tokens[2] = -1;
  EXPECT_EQ(CheckRequest(request, kLimits).code(), ErrorCode::kUsage);
  request = Prompt(1);
  request.max_new_tokens = 0;
  EXPECT_EQ(CheckRequest(request, kLimits).error().where, "max_new_tokens");
  request = Prompt(1);
  request.logprobs = -1;
  EXPECT_EQ(CheckRequest(request, kLimits).error().where, "logprobs");
  request.logprobs = 101;
  EXPECT_EQ(CheckRequest(request, kLimits).error().where, "logprobs");
  request = Prompt(1);
  request.sampling.top_p = 2;
  EXPECT_EQ(CheckRequest(request, kLimits).error().where, "top_p");
  request = Prompt(1);
  request.stop = {""};
  EXPECT_EQ(CheckRequest(request, kLimits).error().where, "stop[0]");
}

TEST(NewTokenLimit, EndsAtTheContext) {
  Request request = Prompt(30);
  request.max_new_tokens = 1000;
  EXPECT_EQ(NewTokenLimit(request, kLimits), 2);
  request.max_new_tokens = 1;
  EXPECT_EQ(NewTokenLimit(request, kLimits), 1);
}

}  // namespace
}  // namespace lull
