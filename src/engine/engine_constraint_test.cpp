// Requests whose tokens are constrained: the engine keeps to the masks, alone, in a crowd and beside drafts.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

using testing::EngineHarness;
using testing::make_prompt;
using testing::make_request;

/// Token t may follow token t - 1 or t - 2 only (round the vocabulary), for so many tokens, and then none; of
/// `single` tokens in a row only t - 1, which is known beforehand.
class Stairs : public TokenConstraint {
 public:
  explicit Stairs(int num_tokens, int single = 0) : left_(num_tokens), single_(single) {}

  void foresee(std::int32_t most, std::vector<TokenId>& tokens) override {
    for (std::int32_t i = 0; i < most && is_single(i); ++i) tokens.push_back((last_ + 1 + i) % 97);
  }
  std::int32_t num_allowed(std::span<const TokenId> tokens) override {
    TokenId last = last_;
    std::int32_t count = 0;
    for (const TokenId token : tokens) {
      if (!may_follow(last, token, count)) break;
      last = token;
      ++count;
    }
    return count;
  }
  bool look_ahead(std::span<const TokenId> guesses) override {
    guesses_.assign(guesses.begin(), guesses.end());
    is_computed_ = false;
    masks_.assign(guesses.size() + 1, {});
    return true;
  }
  void compute_masks() override {
    EXPECT_FALSE(is_computed_) << "twice in a step";
    is_computed_ = true;
    if (left_ == 0) error_.emplace(ErrorKind::kUnsupported, "the stairs end");
    if (error_) return;
    for (std::size_t i = 0; i < masks_.size(); ++i) {
      const TokenId last = i == 0 ? last_ : guesses_[i - 1];
      for (TokenId token = 0; token < 97; ++token) {
        if (may_follow(last, token, static_cast<int>(i)))
          masks_[i][static_cast<std::size_t>(token) / 32] |= 1U << (static_cast<unsigned>(token) % 32U);
      }
    }
  }
  std::span<const std::uint32_t> mask(std::size_t num_guesses) const override { return masks_[num_guesses]; }
  void advance(TokenId token) override {
    EXPECT_TRUE(is_computed_) << "chosen without a mask";
    last_ = token;
    --left_;
  }
  const std::optional<Error>& error() const override { return error_; }

 private:
  bool is_single(int ahead) const { return single_ > 0 && (left_ - ahead) % (single_ + 1) != 0; }
  bool may_follow(TokenId last, TokenId token, int ahead) const {
    const TokenId step = (token - last + 97) % 97;
    return step == 1 || (step == 2 && !is_single(ahead));
  }

  TokenId last_ = 0;
  int left_;
  int single_;
  bool is_computed_ = false;
  std::vector<TokenId> guesses_;
  std::vector<std::array<std::uint32_t, 4>> masks_;
  std::optional<Error> error_;
};

GenerationRequest constrained(std::int32_t salt, std::int32_t max_tokens, float temperature, int num_tokens,
                              int single = 0) {
  GenerationRequest::Fields fields;
  fields.constraint = std::make_shared<Stairs>(num_tokens, single);
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

TEST(EngineConstraints, guesses_are_verified_under_them_and_change_nothing) {
  EngineOptions guessing{.num_pages = 200};
  guessing.speculation = {.method = SpeculationOptions::Method::kPromptLookup, .fixed_drafts = 6};
  for (const float temperature : {0.0F, 1.5F}) {
    for (const int single : {0, 5}) {
      EngineHarness harness(guessing);
      for (SequenceId id = 0; id < 4; ++id)
        harness.submit(id, constrained(static_cast<std::int32_t>(id), 220, temperature, 300, single));
      harness.run();
      for (SequenceId id = 0; id < 4; ++id) {
        EXPECT_EQ(
            harness.answers[id].tokens,
            testing::answer_alone(constrained(static_cast<std::int32_t>(id), 220, temperature, 300, single)))
            << temperature << " " << single;
      }
      EXPECT_GT(harness.engine->stats().accepted_tokens, 0U);
      // Of six tokens the constraint leaves no choice of five.
      if (single == 5) {
        EXPECT_EQ(harness.engine->stats().accepted_tokens, harness.engine->stats().drafted_tokens);
        EXPECT_LT(harness.num_steps, 60U);
      }
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
