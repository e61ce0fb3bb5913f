// Models with recurrent layers: what is computed again, what never is, and that answers stay what they are.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

using testing::answer_alone;
using testing::EngineHarness;
using testing::FakeBackend;
using testing::make_prompt;
using testing::make_request;

constexpr std::int32_t kState = FakeBackend::kState;

std::vector<TokenId> join(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

GenerationRequest request_of(std::vector<TokenId> prompt, std::int32_t max_tokens,
                             Priority priority = Priority::kNormal) {
  GenerationRequest::Fields more;
  more.priority = priority;
  return make_request(std::move(prompt), max_tokens, {.temperature = 1.0F, .seed = 4}, {}, std::move(more));
}

/// Attention and recurrent layers, whose states are left behind every 512 tokens, or every 32.
FakeBackend::Options hybrid(bool has_large_states = true, std::int32_t num_layers = 0) {
  FakeBackend::Options options;
  options.windows = {0, kState};
  options.state_page_bytes = has_large_states ? std::size_t{1} << 20U : 16;
  options.num_layers = num_layers;
  return options;
}

TEST(EngineStates, the_next_turn_of_a_conversation_computes_only_what_is_new) {
  EngineHarness harness({.num_pages = 50}, hybrid());
  std::vector<TokenId> conversation = make_prompt(75, 1);
  std::int32_t known = 0;
  for (SequenceId turn = 1; turn <= 6; ++turn) {
    harness.submit(turn, request_of(conversation, 41));
    harness.run();
    const EngineHarness::Answer& answer = harness.answers[turn];
    EXPECT_EQ(answer.cached_tokens(), known) << turn;
    EXPECT_EQ(answer.tokens, answer_alone(request_of(conversation, 41), hybrid())) << turn;
    conversation = join(conversation, answer.tokens);
    known = static_cast<std::int32_t>(conversation.size()) - 1;  // the last token was chosen, never run
    conversation = join(conversation, make_prompt(10, static_cast<std::int32_t>(turn)));
  }
}

TEST(EngineStates, a_turn_told_again_computes_less_than_a_page) {
  EngineHarness harness({.num_pages = 50}, hybrid());
  for (SequenceId id = 1; id <= 3; ++id) {
    harness.submit(id, request_of(make_prompt(300, 1), 20));
    harness.run();
    EXPECT_EQ(harness.answers[id].cached_tokens(), id == 1 ? 0 : 288);
    EXPECT_EQ(harness.answers[id].tokens, harness.answers[1].tokens);
  }
}

TEST(EngineStates, a_system_prompt_is_computed_again_from_the_state_before_it_and_then_never) {
  for (const bool has_large_states : {true, false}) {
    EngineHarness harness({.num_pages = 400}, hybrid(has_large_states));
    const auto prompt = [](std::int32_t user) { return join(make_prompt(1500, 1), make_prompt(60, user)); };
    for (SequenceId id = 1; id <= 4; ++id) {
      harness.submit(id, request_of(prompt(10 + static_cast<std::int32_t>(id)), 5));
      harness.run();
      EXPECT_EQ(
          harness.answers[id].tokens,
          answer_alone(request_of(prompt(10 + static_cast<std::int32_t>(id)), 5), hybrid(has_large_states)));
    }
    EXPECT_EQ(harness.answers[2].cached_tokens(), has_large_states ? 1024 : 1472);
    EXPECT_EQ(harness.answers[3].cached_tokens(), 1472);
    EXPECT_EQ(harness.answers[4].cached_tokens(), 1472);
  }
}

TEST(EngineStates, many_users_of_a_system_prompt_at_once_compute_it_once) {
  EngineHarness harness({.num_pages = 800, .step_token_budget = 64}, hybrid());
  const auto prompt = [](SequenceId id) {
    return join(make_prompt(1500, 1), make_prompt(60, 10 + static_cast<std::int32_t>(id)));
  };
  for (SequenceId id = 1; id <= 8; ++id) harness.submit(id, request_of(prompt(id), 20));
  harness.run();
  for (SequenceId id = 2; id <= 8; ++id) {
    EXPECT_EQ(harness.answers[id].cached_tokens(), 1472) << id;
    EXPECT_EQ(harness.answers[id].tokens, answer_alone(request_of(prompt(id), 20), hybrid())) << id;
  }
  EXPECT_EQ(harness.engine->stats().prompt_tokens, 1560U + 7U * 88U);
}

TEST(EngineStates, holds_few_states_however_long_the_text) {
  FakeBackend::Options backend = hybrid();
  backend.windows = {kState};
  EngineHarness harness({.num_pages = 4000, .step_token_budget = 512}, backend);
  harness.submit(1, request_of(make_prompt(32000, 1), 500));
  while (!harness.engine->idle()) {
    harness.step();
    EXPECT_LE(harness.engine->stats().states_used, 1);
  }
  EXPECT_EQ(harness.answers[1].tokens.size(), 500U);
}

TEST(EngineStates, what_was_preempted_goes_on_from_its_state) {
  for (const bool has_large_states : {true, false}) {
    EngineHarness harness({.num_pages = 12}, hybrid(has_large_states));
    harness.submit(1, request_of(make_prompt(100, 1), 150));
    harness.submit(2, request_of(make_prompt(100, 2), 150));
    harness.run();
    const EngineStats stats = harness.engine->stats();
    EXPECT_GT(stats.preemptions, 0U);
    // Of large ones there are four, and the end of the one displaced goes with its last page.
    EXPECT_LT(stats.recomputed_tokens, has_large_states ? 250U : 150U);
    for (SequenceId id = 1; id <= 2; ++id)
      EXPECT_EQ(harness.answers[id].tokens,
                answer_alone(request_of(make_prompt(100, static_cast<std::int32_t>(id)), 150),
                             hybrid(has_large_states)));
  }
}

TEST(EngineStates, a_better_level_displaces_and_the_displaced_loses_nothing_it_can_keep) {
  EngineHarness harness({.num_pages = 100, .max_running = 1}, hybrid());
  harness.submit(1, request_of(make_prompt(100, 1), 100, Priority::kLow));
  for (int i = 0; i < 30; ++i) harness.step();
  harness.submit(2, request_of(make_prompt(50, 2), 10, Priority::kHigh));
  harness.run();
  EXPECT_EQ(harness.engine->stats().preemptions, 1U);
  EXPECT_EQ(harness.engine->stats().recomputed_tokens, 0U);
  EXPECT_EQ(harness.answers[1].tokens, answer_alone(request_of(make_prompt(100, 1), 100), hybrid()));
  EXPECT_EQ(harness.answers[2].tokens, answer_alone(request_of(make_prompt(50, 2), 10), hybrid()));
}

/// A stream and, in a wave through the layers, the next turn of a conversation, which goes on from the middle
/// of a page.
class LayeredStates : public ::testing::Test {
 protected:
  LayeredStates() : harness_({.num_pages = 60, .max_running = 4, .step_token_budget = 400}, backend()) {
    harness_.step_time = [](const StepBatch& batch) {
      return std::chrono::duration_cast<Duration>(
          std::chrono::duration<double>(0.010 + 0.001 * testing::token_work(batch, kNumLayers)));
    };
    harness_.submit(1, request_of(turn_, 6));
    harness_.run();
    turn_ = join(turn_, harness_.answers[1].tokens);
    known_ = static_cast<std::int32_t>(turn_.size()) - 1;
    turn_ = join(turn_, make_prompt(200, 8));
    harness_.submit(2, request_of(make_prompt(3, 2), 200, Priority::kHigh));
    for (int i = 0; i < 4; ++i) harness_.step();
    harness_.submit(3, request_of(turn_, 5));
    harness_.step();
  }
  FakeBackend::Options backend() {
    FakeBackend::Options options = hybrid(false, kNumLayers);
    options.on_collect = [this]() -> Result<void> {
      if (fails_) return Error(ErrorKind::kInternal, "a kernel failed");
      return {};
    };
    return options;
  }
  bool is_between_layers() const {
    const LayerSlice& slice = harness_.steps.back().slice;
    return slice.num_sequences == 1 && slice.last_layer < kNumLayers;
  }
  void expect_undisturbed(SequenceId id) {
    EXPECT_EQ(harness_.answers[id].tokens, answer_alone(request_of(turn_, 5), hybrid(false)));
  }

  static constexpr std::int32_t kNumLayers = 12;
  std::vector<TokenId> turn_ = make_prompt(100, 3);
  std::int32_t known_ = 0;
  bool fails_ = false;
  EngineHarness harness_;
};

TEST_F(LayeredStates, go_on_from_the_middle_of_a_page) {
  ASSERT_TRUE(is_between_layers());
  harness_.run();
  EXPECT_EQ(harness_.answers[3].cached_tokens(), known_);
  expect_undisturbed(3);
}

// The first wave ended in the middle of a page; the second writes that page's state, layer by layer.
TEST_F(LayeredStates, of_a_later_wave_that_is_left_are_not_shared) {
  const auto prompt = make_prompt(600, 6);
  while (!harness_.answers[3].ended()) harness_.step();
  harness_.submit(6, request_of(prompt, 5));
  std::int32_t computed = 0;
  do {
    harness_.step();
    const EngineHarness::Step& step = harness_.steps.back();
    if (step.slice.last_layer == kNumLayers || step.slice.num_sequences == 0) computed += step.chunks.back();
  } while (computed == 0 || computed % kPageTokens == 0 || !is_between_layers());
  ASSERT_TRUE(harness_.answers[6].tokens.empty());
  harness_.engine->cancel(6);
  harness_.submit(7, request_of(prompt, 5));
  harness_.run();
  EXPECT_EQ(harness_.answers[7].cached_tokens(), computed / kPageTokens * kPageTokens);
  EXPECT_EQ(harness_.answers[7].tokens, answer_alone(request_of(prompt, 5), hybrid(false)));
}

TEST_F(LayeredStates, of_who_leaves_between_layers_are_not_shared) {
  ASSERT_TRUE(is_between_layers());
  harness_.engine->cancel(3);
  ASSERT_TRUE(harness_.engine->check_integrity().ok());
  harness_.submit(4, request_of(turn_, 5));
  harness_.run();
  EXPECT_EQ(harness_.answers[4].cached_tokens(), known_);  // from the end that was copied
  expect_undisturbed(4);
}

TEST_F(LayeredStates, of_who_is_displaced_between_layers_are_computed_anew) {
  ASSERT_TRUE(is_between_layers());
  ASSERT_TRUE(harness_.engine->resize(11).ok());
  harness_.submit(4, request_of(make_prompt(250, 5), 5, Priority::kHigh));
  harness_.run();
  EXPECT_GT(harness_.engine->stats().preemptions, 0U);
  expect_undisturbed(3);
  EXPECT_EQ(harness_.answers[4].tokens, answer_alone(request_of(make_prompt(250, 5), 5), hybrid(false)));
}

TEST_F(LayeredStates, of_a_failed_step_are_not_shared) {
  ASSERT_TRUE(is_between_layers());
  fails_ = true;
  harness_.step();
  fails_ = false;
  ASSERT_TRUE(harness_.answers[3].error);
  harness_.submit(4, request_of(turn_, 5));
  harness_.submit(5, request_of(make_prompt(3, 2), 200, Priority::kHigh));
  harness_.run();
  expect_undisturbed(4);
  EXPECT_EQ(harness_.answers[5].tokens, answer_alone(request_of(make_prompt(3, 2), 200), hybrid(false)));
}

TEST(EngineStates, memory_can_shrink_and_grow_under_way) {
  for (const bool has_large_states : {true, false}) {
    EngineHarness harness({.num_pages = 200}, hybrid(has_large_states, 12));
    for (SequenceId id = 1; id <= 6; ++id)
      harness.submit(id, request_of(make_prompt(60, static_cast<std::int32_t>(id)), 100));
    for (int i = 0; i < 20; ++i) harness.step();
    for (const std::int32_t num_pages : {12, 60, 5, 200}) {
      ASSERT_TRUE(harness.engine->resize(num_pages).ok());
      ASSERT_TRUE(harness.engine->check_integrity().ok());
      for (int i = 0; i < 20; ++i) harness.step();
    }
    harness.run();
    for (SequenceId id = 1; id <= 6; ++id)
      EXPECT_EQ(harness.answers[id].tokens,
                answer_alone(request_of(make_prompt(60, static_cast<std::int32_t>(id)), 100),
                             hybrid(has_large_states)));
  }
}

TEST(EngineStates, nothing_is_drafted) {
  FakeBackend::Options backend = testing::repeating_model(1, 1000, 100.0F);
  backend.windows = {0, kState};
  EngineHarness harness(
      {.num_pages = 50,
       .speculation = {.method = SpeculationOptions::Method::kPromptLookup, .fixed_drafts = 4}},
      backend);
  harness.submit(1, request_of(std::vector<TokenId>(100, 5), 50));
  harness.run();
  EXPECT_EQ(harness.answers[1].tokens, std::vector<TokenId>(50, 5));
  EXPECT_EQ(harness.engine->stats().drafted_tokens, 0U);
}

TEST(EngineStates, drafting_is_refused_on_either_side) {
  const auto create = [](FakeBackend::Options model, FakeBackend::Options draft) {
    EngineOptions options{.num_pages = 50};
    options.speculation.method = SpeculationOptions::Method::kDraftModel;
    options.speculation.load_draft_backend = [draft]() -> Result<std::unique_ptr<Backend>> {
      return std::unique_ptr<Backend>(std::make_unique<FakeBackend>(draft));
    };
    return Engine::create(std::make_unique<FakeBackend>(std::move(model)), options);
  };
  for (const bool model_has_states : {true, false}) {
    const auto created = model_has_states ? create(hybrid(), {}) : create({}, hybrid());
    ASSERT_FALSE(created.ok());
    EXPECT_EQ(created.error().kind, ErrorKind::kInvalidArgument);
    EXPECT_NE(created.error().message.find("recurrent"), std::string::npos);
    EXPECT_EQ(created.error().field, "draft-model");
  }
}

TEST(EngineStates, a_decoding_sequence_holds_one_state) {
  EngineHarness harness({.num_pages = 400}, hybrid());
  for (SequenceId id = 1; id <= 4; ++id)
    harness.submit(id, request_of(make_prompt(20, static_cast<std::int32_t>(id)), 400));
  for (int i = 0; i < 20; ++i) harness.step();
  for (int i = 0; i < 300; ++i) {
    harness.step();
    EXPECT_LE(harness.engine->stats().states_used, 4);
  }
}

}  // namespace
}  // namespace mlxd
