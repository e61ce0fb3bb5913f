// Requests whose tokens are constrained: the engine keeps to the masks, alone, in a crowd and beside drafts.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

using testing::EngineHarness;
using testing::make_prompt;
using testing::make_request;

/// Token t may follow token t - 1 or t - 2 only (round the vocabulary), for so many tokens, and then none.
class Stairs : public TokenConstraint {
 public:
  explicit Stairs(int num_tokens) : left_(num_tokens) {}

  std::span<const std::uint32_t> mask() override {
    mask_.assign((97 + 31) / 32, 0);
    if (left_ == 0) error_.emplace(ErrorKind::kUnsupported, "the stairs end");
    if (error_) return mask_;
    for (const TokenId token : {(last_ + 1) % 97, (last_ + 2) % 97})
      mask_[static_cast<std::size_t>(token) / 32] |= 1U << (static_cast<unsigned>(token) % 32U);
    return mask_;
  }
  void advance(TokenId token) override {
    last_ = token;
    --left_;
  }
  const std::optional<Error>& error() const override { return error_; }

 private:
  TokenId last_ = 0;
  int left_;
  std::vector<std::uint32_t> mask_;
  std::optional<Error> error_;
};

GenerationRequest constrained(std::int32_t salt, std::int32_t max_tokens, float temperature, int num_tokens) {
  GenerationRequest::Fields fields;
  fields.constraint = std::make_shared<Stairs>(num_tokens);
  return make_request(make_prompt(40, salt), max_tokens, {.temperature = temperature, .seed = 9}, {},
                      std::move(fields));
}

TEST(EngineConstraints, hold_for_greedy_and_drawn_tokens_and_change_nothing_in_a_crowd) {
  EngineHarness crowd({.num_pages = 200});
  for (SequenceId id = 0; id < 6; ++id) {
    const auto salt = static_cast<std::int32_t>(id);
    if (id % 3 == 2)
      crowd.submit(id, make_request(make_prompt(40, salt), 30));
    else
      crowd.submit(id, constrained(salt, 30, id % 3 == 0 ? 0.0F : 1.5F, 100));
  }
  crowd.run();
  for (SequenceId id = 0; id < 6; ++id) {
    const auto salt = static_cast<std::int32_t>(id);
    const std::vector<TokenId>& tokens = crowd.answers[id].tokens;
    ASSERT_EQ(tokens.size(), 30U);
    if (id % 3 == 2) {
      EXPECT_EQ(tokens, testing::answer_alone(make_request(make_prompt(40, salt), 30)));
      continue;
    }
    EXPECT_EQ(tokens, testing::answer_alone(constrained(salt, 30, id % 3 == 0 ? 0.0F : 1.5F, 100)));
    TokenId last = 0;
    for (const TokenId token : tokens) {
      const TokenId step = (token - last + 97) % 97;
      EXPECT_TRUE(step == 1 || step == 2) << last << " " << token;
      last = token;
    }
  }
}

TEST(EngineConstraints, one_that_can_say_no_more_fails_its_request_only) {
  EngineHarness harness({.num_pages = 200});
  harness.submit(1, constrained(1, 30, 0.0F, 5));
  harness.submit(2, make_request(make_prompt(40, 2), 30));
  harness.run();
  ASSERT_TRUE(harness.answers[1].error);
  EXPECT_EQ(harness.answers[1].error->message, "the stairs end");
  EXPECT_EQ(harness.answers[1].tokens.size(), 5U);
  EXPECT_EQ(harness.answers[2].tokens.size(), 30U);
}

}  // namespace
}  // namespace mlxd
