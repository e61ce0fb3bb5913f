// The engine over the native CPU backend with adapters: whatever joins, leaves or is displaced, every request
// has the answer it has alone with its own adapter.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "backend_suite.h"
#include "backends/cpu/cpu_backend.h"
#include "engine/page_pool.h"
#include "engine_run.h"
#include "model/adapter.h"
#include "model/testing/synthetic_adapter.h"

namespace mlxd::testing {
namespace {

class AdapterRuns : public ::testing::TestWithParam<CpuPrecision> {
 protected:
  void SetUp() override {
    const SyntheticModelOptions model;
    ASSERT_TRUE(write_synthetic_adapter(folder_.path() / "1", model, {.rank = 4, .scale = 2.0}).ok());
    ASSERT_TRUE(write_synthetic_adapter(folder_.path() / "2", model, {.method = "dora", .rank = 9}).ok());
    ASSERT_TRUE(write_synthetic_adapter(folder_.path() / "3", model,
                                        {.rank = 16, .scale = -1.0, .keys = {"self_attn.v_proj"}})
                    .ok());
  }

  std::unique_ptr<EngineRun> make_run(const EngineOptions& options) const {
    const ModelFolder model = suite_model().open();
    auto backend = CpuBackend::load(
        model,
        {.precision = GetParam(), .num_threads = 2, .max_batch_tokens = 128, .max_batch_sequences = 16});
    EXPECT_TRUE(backend.ok());
    auto run = std::make_unique<EngineRun>(backend.take_value(), options);
    for (const AdapterId id : {1U, 2U, 3U}) {
      const auto adapter = Adapter::open(folder_.path() / std::to_string(id), model.spec());
      EXPECT_TRUE(adapter.ok()) << adapter.error().message;
      auto prepared = run->engine().backend().prepare_adapter(*adapter);
      EXPECT_TRUE(prepared.ok()) << prepared.error().message;
      EXPECT_TRUE(run->engine().attach_adapter(id, prepared.take_value()).ok());
    }
    return run;
  }

  static GenerationRequest request_of(std::int32_t prompt_tokens, std::uint32_t salt, std::int32_t max_tokens,
                                      AdapterId adapter) {
    GenerationRequest::Fields fields;
    fields.prompt = random_tokens(static_cast<std::size_t>(prompt_tokens), salt);
    fields.sampling = {.temperature = 1.0F, .top_k = 50, .seed = salt};
    fields.max_tokens = max_tokens;
    if (adapter != kNoAdapter) {
      auto lease = std::make_shared<AdapterLease>();
      lease->id = adapter;
      fields.adapter = std::move(lease);
    }
    return GenerationRequest::create(std::move(fields),
                                     {.vocab_size = kSuiteVocabulary, .context_tokens = kSuiteContextTokens})
        .take_value();
  }

  std::vector<TokenId> answer_alone(const GenerationRequest& request) const {
    const auto run = make_run({.num_pages = 16, .share_prefixes = false});
    run->submit(1, request);
    run->run();
    return run->answer(1).tokens;
  }

  TemporaryFolder folder_;
};

TEST_P(AdapterRuns, have_their_own_answers_in_a_crowd_with_too_few_pages) {
  const auto run = make_run({.num_pages = 14, .max_running = 8, .step_token_budget = 40});
  std::vector<GenerationRequest> requests;
  for (std::int32_t i = 0; i < 12; ++i) {
    // Prompts in common between adapters: their cached text must not be.
    requests.push_back(
        request_of(40 + 5 * (i % 3), static_cast<std::uint32_t>(i / 4), 24, static_cast<AdapterId>(i % 4)));
  }
  for (std::size_t i = 0; i < requests.size(); ++i) {
    run->submit(i, requests[i]);
    if (i % 3 == 0) run->step();
  }
  run->run();
  EXPECT_GT(run->engine().stats().preemptions, 0U);
  for (std::size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ(run->answer(i).tokens, answer_alone(requests[i])) << i;
  // And once more, from what is still cached: the last ones first.
  for (std::size_t i = requests.size(); i-- > 0;) run->submit(100 + i, requests[i]);
  run->run();
  for (std::size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ(run->answer(100 + i).tokens, run->answer(i).tokens) << i;
  EXPECT_GT(run->engine().stats().cached_prompt_tokens, 0U);
}

TEST_P(AdapterRuns, are_the_same_with_guesses_verified) {
  const auto plain = make_run({.num_pages = 40});
  const auto guessing =
      make_run({.num_pages = 40,
                .speculation = {.method = SpeculationOptions::Method::kPromptLookup, .fixed_drafts = 3}});
  for (EngineRun* run : {plain.get(), guessing.get()}) {
    for (std::uint32_t i = 0; i < 4; ++i) run->submit(i, request_of(60, 5, 40, i));
    run->run();
  }
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ(guessing->answer(i).tokens, plain->answer(i).tokens) << i;
}

INSTANTIATE_TEST_SUITE_P(Cpu, AdapterRuns, ::testing::Values(CpuPrecision::kFast, CpuPrecision::kReference),
                         [](const auto& test) {
                           return test.param == CpuPrecision::kFast ? "Fast" : "Reference";
                         });

}  // namespace
}  // namespace mlxd::testing
