#include "generation/generation_request.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "generation/message.h"

namespace mlxd {
namespace {

constexpr GenerationLimits kLimits{.vocab_size = 100, .context_tokens = 10};

GenerationRequest::Fields valid_fields() {
  GenerationRequest::Fields fields;
  fields.prompt = {1, 2, 3};
  return fields;
}

TEST(GenerationRequest, clamps_max_tokens_to_the_room_left) {
  for (const auto& [asked, granted] : {std::pair{0, 7}, {3, 3}, {7, 7}, {1000, 7}}) {
    auto fields = valid_fields();
    fields.max_tokens = asked;
    const auto request = GenerationRequest::create(fields, kLimits);
    ASSERT_TRUE(request.ok()) << request.error().message;
    EXPECT_EQ(request->max_tokens(), granted) << asked;
  }
}

TEST(GenerationRequest, keeps_a_seed_and_draws_an_absent_one) {
  auto fields = valid_fields();
  fields.sampling.seed = 42;
  EXPECT_EQ(GenerationRequest::create(fields, kLimits)->seed(), 42U);
  fields.sampling.seed.reset();
  EXPECT_NE(GenerationRequest::create(fields, kLimits)->seed(),
            GenerationRequest::create(fields, kLimits)->seed());
}

TEST(GenerationRequest, names_the_field_and_value_that_it_refuses) {
  struct Case {
    std::function<void(GenerationRequest::Fields&)> break_it;
    ErrorKind kind;
    std::string field;
    std::string in_message;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Case cases[] = {
      {[](auto& f) { f.prompt.clear(); }, ErrorKind::kInvalidArgument, "prompt", "empty"},
      {[](auto& f) { f.prompt = {100}; }, ErrorKind::kInvalidArgument, "prompt", "token 100"},
      {[](auto& f) { f.prompt = {-1}; }, ErrorKind::kInvalidArgument, "prompt", "token -1"},
      {[](auto& f) {
         f.prediction = {1, 100};
       },
       ErrorKind::kInvalidArgument, "prediction", "token 100"},
      {[](auto& f) { f.prompt.assign(10, 1); }, ErrorKind::kTooLarge, "prompt", "has 10 tokens"},
      {[](auto& f) { f.prompt.assign(25, 1); }, ErrorKind::kTooLarge, "prompt", "holds 10"},
      {[](auto& f) { f.max_tokens = -1; }, ErrorKind::kInvalidArgument, "max_tokens", "-1"},
      {[](auto& f) {
         f.stop_strings = {"a", ""};
       },
       ErrorKind::kInvalidArgument, "stop", "empty"},
      {[](auto& f) { f.sampling.temperature = 2.5F; }, ErrorKind::kInvalidArgument, "temperature", "2.5"},
      {[nan](auto& f) { f.sampling.temperature = nan; }, ErrorKind::kInvalidArgument, "temperature", "nan"},
      {[](auto& f) { f.sampling.top_p = -0.5F; }, ErrorKind::kInvalidArgument, "top_p", "is -0.5,"},
      {[](auto& f) { f.sampling.top_k = -1; }, ErrorKind::kInvalidArgument, "top_k", "-1"},
      {[](auto& f) { f.sampling.min_p = 1.5F; }, ErrorKind::kInvalidArgument, "min_p", "1.5"},
      {[](auto& f) { f.sampling.repetition_penalty = 0.0F; }, ErrorKind::kInvalidArgument,
       "repetition_penalty", "above 0"},
      {[](auto& f) { f.sampling.presence_penalty = -3.0F; }, ErrorKind::kInvalidArgument, "presence_penalty",
       "-3"},
      {[](auto& f) { f.sampling.frequency_penalty = 3.0F; }, ErrorKind::kInvalidArgument, "frequency_penalty",
       "between -2 and 2"},
      {[](auto& f) { f.sampling.top_logprobs = 21; }, ErrorKind::kInvalidArgument, "top_logprobs", "21"},
      {[](auto& f) {
         f.sampling.logit_bias = {{100, 1.0F}};
       },
       ErrorKind::kInvalidArgument, "logit_bias", "token 100"},
      {[](auto& f) {
         f.sampling.logit_bias = {{1, 101.0F}};
       },
       ErrorKind::kInvalidArgument, "logit_bias", "101"},
  };
  for (const Case& c : cases) {
    auto fields = valid_fields();
    c.break_it(fields);
    const auto request = GenerationRequest::create(fields, kLimits);
    ASSERT_FALSE(request.ok()) << c.field << " " << c.in_message;
    EXPECT_EQ(request.error().kind, c.kind) << request.error().message;
    EXPECT_EQ(request.error().field, c.field);
    EXPECT_NE(request.error().message.find(c.in_message), std::string::npos) << request.error().message;
  }
}

TEST(GenerationRequest, a_prompt_that_is_only_scored_may_fill_the_context) {
  auto fields = valid_fields();
  fields.prompt.assign(10, 1);
  fields.prompt_scoring = PromptScoring::kAlone;
  const auto request = GenerationRequest::create(fields, kLimits);
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_EQ(request->max_tokens(), 0);
  EXPECT_TRUE(request->scores_prompt());
  EXPECT_FALSE(request->generates());
  fields.prompt.push_back(1);
  EXPECT_EQ(GenerationRequest::create(fields, kLimits).error().kind, ErrorKind::kTooLarge);
  fields.prompt.assign(10, 1);
  fields.prompt_scoring = PromptScoring::kWithAnswer;
  EXPECT_EQ(GenerationRequest::create(fields, kLimits).error().kind, ErrorKind::kTooLarge);
  fields.prompt.pop_back();
  EXPECT_EQ(GenerationRequest::create(fields, kLimits)->max_tokens(), 1);
  EXPECT_TRUE(GenerationRequest::create(fields, kLimits)->scores_prompt());
  EXPECT_FALSE(GenerationRequest::create(valid_fields(), kLimits)->scores_prompt());
}

TEST(Message, roles_round_trip_and_developer_means_system) {
  for (const Role role : {Role::kSystem, Role::kUser, Role::kAssistant, Role::kTool})
    EXPECT_EQ(*parse_role(to_string(role)), role);
  EXPECT_EQ(*parse_role("developer"), Role::kSystem);
  ASSERT_FALSE(parse_role("robot").ok());
  EXPECT_NE(parse_role("robot").error().message.find("robot"), std::string::npos);
}

}  // namespace
}  // namespace mlxd
