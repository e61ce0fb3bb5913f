// An Engine over a FakeBackend for tests: requests made in a line, each request's tokens collected, every
// step's batch written down and every step followed by an integrity check.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "engine/engine.h"
#include "engine/testing/fake_backend.h"

namespace mlxd::testing {

inline GenerationRequest make_request(std::vector<TokenId> prompt, std::int32_t max_tokens,
                                      SamplingParams sampling = {.temperature = 0.0F, .seed = 0},
                                      std::vector<TokenId> stop_tokens = {},
                                      GenerationRequest::Fields fields = {}) {
  fields.prompt = std::move(prompt);
  fields.sampling = std::move(sampling);
  fields.max_tokens = max_tokens;
  fields.stop_tokens = std::move(stop_tokens);
  auto request = GenerationRequest::create(std::move(fields), {.vocab_size = 97, .context_tokens = 1 << 20});
  EXPECT_TRUE(request.ok());
  return request.take_value();
}

/// `count` tokens that differ with `salt`.
inline std::vector<TokenId> make_prompt(std::int32_t count, std::int32_t salt) {
  std::vector<TokenId> prompt;
  for (std::int32_t i = 0; i < count; ++i) prompt.push_back((i * 7 + salt * 31 + i * salt) % 97);
  return prompt;
}

class EngineHarness {
 public:
  struct Answer {
    std::vector<TokenId> tokens;
    std::vector<float> logprobs;  // one for each token that has one
    std::vector<TokenLogprob> top_logprobs;
    std::optional<FinishReason> finish;
    std::optional<Error> error;
    bool ended() const { return finish || error; }
    std::uint64_t first_token_step = 0;
    std::uint64_t last_token_step = 0;
    std::shared_ptr<const CacheReport> cache;
    std::shared_ptr<const PromptScores> scores;
    std::int32_t num_predicted = 0, num_mispredicted = 0;
    std::int32_t cached_tokens() const { return cache ? cache->cached_tokens : -1; }
  };
  struct Step {
    std::int32_t tokens = 0;
    std::vector<std::int32_t> chunks;  // tokens of each sequence
    LayerSlice slice;
  };

  explicit EngineHarness(const EngineOptions& options, FakeBackend::Options backend = {}) {
    if (!backend.on_submit) {
      backend.on_submit = [this](const StepBatch& batch) {
        record(batch);
        return Result<void>();
      };
    }
    auto created = Engine::create(std::make_unique<FakeBackend>(std::move(backend)), options, clock);
    EXPECT_TRUE(created.ok());
    engine = created.take_value();
  }

  void submit(SequenceId id, GenerationRequest request) {
    const auto result = engine->submit(id, std::move(request));
    ASSERT_TRUE(result.ok()) << result.error().message;
    answers[id];
  }

  void step() {
    ++num_steps;
    for (SequenceEvent& event : engine->step()) {
      Answer& answer = answers.at(event.id);
      ASSERT_FALSE(answer.ended()) << "an event after the last one";
      if (!event.event.error) {
        EXPECT_EQ(event.event.cache != nullptr, answer.tokens.empty());
        EXPECT_TRUE(event.event.prompt_scores == nullptr || answer.tokens.empty());
        if (event.event.cache) answer.cache = event.event.cache;
        if (event.event.prompt_scores) answer.scores = event.event.prompt_scores;
      }
      if (event.event.token != kNoToken) {
        if (answer.tokens.empty()) answer.first_token_step = num_steps;
        answer.last_token_step = num_steps;
        answer.tokens.push_back(event.event.token);
        if (event.event.logprob) answer.logprobs.push_back(*event.event.logprob);
        answer.top_logprobs.insert(answer.top_logprobs.end(), event.event.top_logprobs.begin(),
                                   event.event.top_logprobs.end());
        answer.num_predicted += event.event.was_predicted ? 1 : 0;
        answer.num_mispredicted += event.event.num_mispredicted;
      }
      answer.finish = event.event.finish;
      answer.error = event.event.error;
    }
    const auto intact = engine->check_integrity();
    ASSERT_TRUE(intact.ok()) << intact.error().message;
  }

  void run() {
    while (!engine->idle()) {
      ASSERT_NO_FATAL_FAILURE(step());
      ASSERT_LT(num_steps, 1000000U) << "the engine does not come to an end";
    }
    EXPECT_EQ(engine->stats().pages_used, 0);
    EXPECT_EQ(engine->stats().states_used, 0);
  }

  void record(const StepBatch& batch) {
    Step& step = steps.emplace_back();
    step.tokens = static_cast<std::int32_t>(batch.tokens.size());
    for (const BatchSequence& sequence : batch.sequences) step.chunks.push_back(sequence.num_tokens);
    step.slice = batch.slice;
    if (step_time) clock.advance(step_time(batch));
  }

  FakeClock clock;
  std::function<Duration(const StepBatch&)> step_time;  // what a step takes; unset: no time
  std::unique_ptr<Engine> engine;
  std::map<SequenceId, Answer> answers;
  std::vector<Step> steps;
  std::uint64_t num_steps = 0;
};

/// Tokens of a batch, one that goes through a part of the layers as that part.
inline double token_work(const StepBatch& batch, std::int32_t num_layers) {
  double work = 0.0;
  const std::ptrdiff_t num_whole = std::ssize(batch.sequences) - batch.slice.num_sequences;
  for (std::ptrdiff_t i = 0; i < std::ssize(batch.sequences); ++i) {
    const double part =
        i < num_whole ? 1.0 : 1.0 * (batch.slice.last_layer - batch.slice.first_layer) / num_layers;
    work += part * batch.sequences[static_cast<std::size_t>(i)].num_tokens;
  }
  return work;
}

/// What a request answers by itself, with all the room it needs and nothing guessed.
inline EngineHarness::Answer whole_answer_alone(GenerationRequest request,
                                                FakeBackend::Options backend = {}) {
  EngineHarness harness({.num_pages = pages_for_tokens(std::ssize(request.prompt()) + request.max_tokens()),
                         .share_prefixes = false},
                        std::move(backend));
  harness.submit(1, std::move(request));
  harness.run();
  return harness.answers.at(1);
}

inline std::vector<TokenId> answer_alone(GenerationRequest request, FakeBackend::Options backend = {}) {
  return whole_answer_alone(std::move(request), std::move(backend)).tokens;
}

/// A model that likes to say again what it said `period` tokens ago, but for every `lapse`th of its tokens.
inline FakeBackend::Options repeating_model(std::size_t period, std::size_t lapse, float logit) {
  FakeBackend::Options options;
  options.script_logit = logit;
  options.script = [period, lapse](std::span<const TokenId> prefix) {
    if (prefix.size() < period) return kNoToken;
    const TokenId again = prefix[prefix.size() - period];
    return static_cast<std::size_t>(prefix.back() + again) % lapse == 0 ? kNoToken : again;
  };
  return options;
}

}  // namespace mlxd::testing
