// What every backend promises of single steps: no engine here, pages and chunks as the test likes.
#include <algorithm>
#include <random>

#include "backend_suite.h"
#include "engine/sampler.h"
#include "parity/step_runner.h"

namespace mlxd::testing {
namespace {

using Logits = std::vector<float>;

Logits all_logits(Backend& backend, const std::vector<TokenId>& tokens, std::int32_t chunk,
                  std::vector<PageId> pages) {
  ScriptedSequence sequence{tokens, std::move(pages)};
  Result<Logits> logits = run_alone(backend, sequence, chunk, WhichLogits::kAll);
  EXPECT_TRUE(logits.ok()) << logits.error().message;
  return logits.ok() ? logits.take_value() : Logits{};
}

Result<void> copy_pages(Backend& backend, std::span<const PageCopy> copies) {
  for (std::size_t group = 0; group < backend.info().page_groups.size(); ++group)
    TRY(backend.copy_pages(group, copies));
  return {};
}

Logits tail(const Logits& logits, std::size_t count) {
  CHECK(logits.size() >= count);
  return {logits.end() - static_cast<std::ptrdiff_t>(count), logits.end()};
}

/// Runs the rest of a sequence in one step and checks its logits against the end of `expected`.
void expect_continues(Backend& backend, ScriptedSequence& sequence, const Logits& expected,
                      const std::string& what) {
  const auto count = static_cast<std::int32_t>(sequence.tokens.size()) - sequence.done;
  const StepPart part{&sequence, count, WhichLogits::kAll};
  const Result<StepResult> result = run_step(backend, std::span(&part, 1));
  ASSERT_TRUE(result.ok()) << result.error().message;
  expect_same_logits(result->logits, tail(expected, result->logits.size()), what);
}

TEST_P(BackendSuite, ChunkSizeDoesNotShow) {
  const auto backend = make(10);
  const std::vector<TokenId> tokens = random_tokens(200, 11);
  const Logits expected = all_logits(*backend, tokens, 200, pages_from(0, 7));
  for (const std::int32_t chunk : {1, 3, 31, 32, 33, 64}) {
    expect_same_logits(all_logits(*backend, tokens, chunk, pages_from(2, 7)), expected,
                       "chunks of " + std::to_string(chunk));
  }
}

TEST_P(BackendSuite, CompanyAndPageOrderDoNotShow) {
  constexpr std::size_t kSequences = 6;
  constexpr PageId kPagesEach = 5;
  const auto backend = make(kSequences * kPagesEach);
  std::mt19937 generator(21);
  std::vector<ScriptedSequence> together(kSequences);
  std::vector<Logits> alone(kSequences);
  std::vector<Logits> batched(kSequences);
  for (std::size_t i = 0; i < kSequences; ++i) {
    together[i].tokens = random_tokens(10 + generator() % 140, static_cast<std::uint32_t>(100 + i));
    alone[i] = all_logits(*backend, together[i].tokens, 64, pages_from(0, kPagesEach));
  }
  std::vector<PageId> pages = pages_from(0, kSequences * kPagesEach);
  std::shuffle(pages.begin(), pages.end(), generator);
  for (std::size_t i = 0; i < kSequences; ++i) {
    const auto first = pages.begin() + static_cast<std::ptrdiff_t>(i * kPagesEach);
    together[i].pages.assign(first, first + kPagesEach);
  }
  // Everyone joins and leaves when they like, with chunks of any size.
  while (true) {
    std::vector<StepPart> parts;
    std::vector<std::size_t> who;
    bool finished = true;
    for (std::size_t i = 0; i < kSequences; ++i) {
      const auto left = static_cast<std::int32_t>(together[i].tokens.size()) - together[i].done;
      finished = finished && left == 0;
      if (left == 0 || generator() % 4 == 0) continue;
      const std::uint32_t most = generator() % 2 == 0 ? 2 : 40;
      const auto count = std::min(left, 1 + static_cast<std::int32_t>(generator() % most));
      parts.push_back({&together[i], count, WhichLogits::kAll});
      who.push_back(i);
    }
    if (finished) break;
    if (parts.empty()) continue;
    const Result<StepResult> result = run_step(*backend, parts);
    ASSERT_TRUE(result.ok()) << result.error().message;
    auto next = result->logits.begin();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto end = next + static_cast<std::ptrdiff_t>(parts[i].num_tokens) * kSuiteVocabulary;
      batched[who[i]].insert(batched[who[i]].end(), next, end);
      next = end;
    }
  }
  for (std::size_t i = 0; i < kSequences; ++i)
    expect_same_logits(batched[i], alone[i], "sequence " + std::to_string(i));
}

// Two prompts go through the layers together, a few at a time, while others decode and come to an end.
TEST_P(BackendSuite, SlicesOfLayersDoNotShow) {
  const auto backend = make(40);
  const std::int32_t num_layers = backend->info().num_sliceable_layers;
  if (num_layers == 0) GTEST_SKIP() << "steps run whole";
  ASSERT_GE(num_layers, 2);
  const std::vector<TokenId> first = random_tokens(90, 31);
  const std::vector<TokenId> second = random_tokens(70, 32);
  const std::vector<TokenId> streams[] = {random_tokens(80, 33), random_tokens(75, 34)};
  const Logits expected[] = {all_logits(*backend, first, 90, pages_from(0, 4)),
                             all_logits(*backend, second, 70, pages_from(0, 4)),
                             all_logits(*backend, streams[0], 80, pages_from(0, 4)),
                             all_logits(*backend, streams[1], 75, pages_from(0, 4))};
  std::mt19937 generator(35);
  ScriptedSequence prompts[] = {{first, pages_from(4, 4)}, {second, pages_from(8, 4)}};
  ScriptedSequence decoding[] = {{streams[0], pages_from(12, 4)}, {streams[1], pages_from(16, 4)}};
  std::vector<Logits> logits(4);
  while (prompts[0].done < 90 || prompts[1].done < 70) {
    const std::int32_t counts[] = {std::min(40, 90 - prompts[0].done), std::min(30, 70 - prompts[1].done)};
    for (std::int32_t layer = 0; layer < num_layers;) {
      const auto next = static_cast<std::int32_t>(
          layer + 1 +
          static_cast<std::int32_t>(generator() % static_cast<std::uint32_t>(num_layers - layer)));
      const WhichLogits which = next == num_layers ? WhichLogits::kAll : WhichLogits::kNone;
      std::vector<StepPart> parts;
      for (ScriptedSequence& stream : decoding) {
        if (stream.done < std::ssize(stream.tokens) && generator() % 4 != 0)
          parts.push_back({&stream, 1, WhichLogits::kAll});
      }
      const std::size_t num_streams = parts.size();
      std::int32_t kept_row = 7;
      std::vector<std::int32_t> kept_rows;
      for (std::size_t i = 0; i < 2; ++i) {
        if (counts[i] == 0) continue;
        parts.push_back({&prompts[i], counts[i], which});
        kept_rows.push_back(kept_row);
        kept_row += counts[i] + 5;
      }
      StepBatch batch = make_batch(parts, {.want_logits = true});
      batch.slice = {static_cast<std::int32_t>(kept_rows.size()), layer, next};
      for (std::size_t i = 0; i < kept_rows.size(); ++i)
        batch.sequences[num_streams + i].kept_row = kept_rows[i];
      const Result<Backend::StepHandle> handle = backend->submit(batch);
      ASSERT_TRUE(handle.ok()) << handle.error().message;
      StepResult result;
      ASSERT_TRUE(backend->collect(*handle, result).ok());
      auto from = result.logits.begin();
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i >= num_streams && next < num_layers) continue;
        const std::size_t who = i < num_streams ? (parts[i].sequence == &decoding[0] ? 2 : 3)
                                                : (parts[i].sequence == &prompts[0] ? 0 : 1);
        const auto end = from + static_cast<std::ptrdiff_t>(parts[i].num_tokens) * kSuiteVocabulary;
        logits[who].insert(logits[who].end(), from, end);
        from = end;
        parts[i].sequence->done += parts[i].num_tokens;
      }
      EXPECT_EQ(from, result.logits.end());
      layer = next;
    }
  }
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_FALSE(logits[i].empty());
    expect_same_logits(logits[i], std::span(expected[i]).first(logits[i].size()),
                       "sequence " + std::to_string(i));
  }
}

TEST_P(BackendSuite, CopiedPagesContinueASequence) {
  const auto backend = make(32);
  const std::vector<TokenId> tokens = random_tokens(60, 9);
  const Logits expected = all_logits(*backend, tokens, 64, pages_from(0, 2));
  ScriptedSequence original{tokens, pages_from(10, 2)};
  const StepPart prefix{&original, 45, WhichLogits::kNone};
  ASSERT_TRUE(run_step(*backend, std::span(&prefix, 1)).ok());
  const PageCopy copies[] = {{10, 31}, {11, 30}};
  ASSERT_TRUE(copy_pages(*backend, copies).ok());
  // The original's own progress must not show in the copy.
  original.tokens.assign(60, 1);
  const StepPart other{&original, 15, WhichLogits::kNone};
  ASSERT_TRUE(run_step(*backend, std::span(&other, 1)).ok());
  ScriptedSequence copy{tokens, {31, 30}, 45};
  expect_continues(*backend, copy, expected, "the copy");
}

TEST_P(BackendSuite, PagesAreCopiedInOrder) {
  const auto backend = make(8);
  const std::vector<TokenId> tokens = random_tokens(50, 19);
  const Logits expected = all_logits(*backend, tokens, 64, {0, 1});
  ScriptedSequence moved{tokens, {4, 1}, 32};
  ScriptedSequence overwritten{random_tokens(40, 20), {5, 6}};
  const StepPart part{&overwritten, 40, WhichLogits::kNone};
  ASSERT_TRUE(run_step(*backend, std::span(&part, 1)).ok());
  // Page 0 goes to 3, from there on to 4; then 3 and 0 become something else.
  const PageCopy copies[] = {{0, 3}, {3, 4}, {5, 3}, {3, 0}};
  ASSERT_TRUE(copy_pages(*backend, copies).ok());
  expect_continues(*backend, moved, expected, "moved");
}

TEST_P(BackendSuite, ResizingKeepsWhatStays) {
  const auto backend = make(4);
  const std::size_t page_bytes = backend->info().page_bytes();
  const std::vector<TokenId> tokens = random_tokens(60, 29);
  const Logits expected = all_logits(*backend, tokens, 64, {2, 3});
  for (const std::int32_t num_pages : {5, 40, 4}) {
    ScriptedSequence sequence{tokens, {2, 3}};
    const StepPart prefix{&sequence, 50, WhichLogits::kNone};
    ASSERT_TRUE(run_step(*backend, std::span(&prefix, 1)).ok());
    ASSERT_TRUE(resize_pages(*backend, num_pages).ok()) << num_pages;
    EXPECT_EQ(backend->memory().page_bytes, static_cast<std::size_t>(num_pages) * page_bytes);
    expect_continues(*backend, sequence, expected, std::to_string(num_pages) + " pages");
  }
  // More than there can be is refused and changes nothing.
  const Result<void> refused = backend->resize_pages(0, INT32_MAX / 2);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kOutOfMemory) << refused.error().message;
  EXPECT_EQ(backend->memory().page_bytes, 4 * page_bytes);
  ScriptedSequence sequence{tokens, {2, 3}, 50};
  expect_continues(*backend, sequence, expected, "after a refusal");
  // What is gone cannot be used, and nothing can use pages that are not there.
  ASSERT_TRUE(resize_pages(*backend, 3).ok());
  sequence = {tokens, {2, 3}};
  const StepPart part{&sequence, 60, WhichLogits::kLast};
  EXPECT_FALSE(run_step(*backend, std::span(&part, 1)).ok());
  ASSERT_TRUE(resize_pages(*backend, 0).ok());
  ASSERT_TRUE(resize_pages(*backend, 2).ok());
  expect_same_logits(all_logits(*backend, tokens, 64, {1, 0}), expected, "from nothing");
}

// Whoever has a window gives pages away behind it, so nothing may read them.
TEST_P(BackendSuite, PagesBehindAWindowAreNotNeeded) {
  const auto backend = make(20);
  const std::vector<PageGroupInfo>& groups = backend->info().page_groups;
  if (std::all_of(groups.begin(), groups.end(), [](const auto& group) { return group.window_tokens == 0; }))
    GTEST_SKIP() << "no windows";
  const std::vector<TokenId> tokens = random_tokens(300, 6);
  const Logits expected = all_logits(*backend, tokens, 300, pages_from(0, 10));
  ScriptedSequence sequence{tokens, pages_from(10, 10)};
  while (sequence.done < 300) {
    const std::int32_t count = sequence.done < 200 ? 50 : 1;
    const StepPart part{&sequence, count, WhichLogits::kLast};
    StepBatch batch = make_batch(std::span(&part, 1), {.want_logits = true});
    batch.page_ids.clear();
    for (std::size_t group = 0; group < groups.size(); ++group) {
      std::vector<PageId> pages = sequence.pages;
      const std::int32_t window = groups[group].window_tokens;
      const std::int32_t behind = window > 0 ? std::max(sequence.done - window + 1, 0) / kPageTokens : 0;
      std::fill(pages.begin(), pages.begin() + behind, kNoPage);
      batch.sequences[0].page_tables[group] = {static_cast<std::int32_t>(batch.page_ids.size()), 10};
      batch.page_ids.insert(batch.page_ids.end(), pages.begin(), pages.end());
    }
    const Result<Backend::StepHandle> handle = backend->submit(batch);
    ASSERT_TRUE(handle.ok()) << handle.error().message;
    StepResult result;
    ASSERT_TRUE(backend->collect(*handle, result).ok());
    sequence.done += count;
    const auto row = expected.begin() + static_cast<std::ptrdiff_t>(sequence.done - 1) * kSuiteVocabulary;
    expect_same_logits(result.logits, Logits(row, row + kSuiteVocabulary), std::to_string(sequence.done));
  }
}

TEST_P(BackendSuite, AStepCanTakeWhatThePreviousOneSampled) {
  if (!GetParam().runs_ahead) GTEST_SKIP() << "one step at a time";
  const auto backend = make(12);
  std::vector<TokenId> tokens = random_tokens(20, 13);
  ScriptedSequence sequence{tokens, pages_from(0, 2)};
  const SampleSpec spec{.want_logits = true};
  StepPart part{&sequence, 20, WhichLogits::kLast};
  const Result<StepResult> first = run_step(*backend, std::span(&part, 1), spec);
  ASSERT_TRUE(first.ok());
  tokens.push_back(first->samples[0].token);
  const Logits expected = all_logits(*backend, tokens, 64, pages_from(4, 2));

  // Again, with the second step submitted before the first is collected, and company in it.
  ScriptedSequence stranger{random_tokens(20, 14), pages_from(10, 2)};
  sequence = {tokens, pages_from(8, 2)};
  const StepBatch prompt = make_batch(std::span(&part, 1), spec);
  const Result<Backend::StepHandle> one = backend->submit(prompt);
  ASSERT_TRUE(one.ok());
  sequence.done = 20;
  part.num_tokens = 1;
  const StepPart parts[] = {part, {&stranger, 20, WhichLogits::kLast}};
  StepBatch ahead = make_batch(parts, spec);
  ahead.tokens[0] = TokenInput::previous_sample(0);
  const Result<Backend::StepHandle> two = backend->submit(ahead);
  ASSERT_TRUE(two.ok()) << two.error().message;
  StepResult result;
  EXPECT_FALSE(backend->collect(*two, result).ok());
  ASSERT_TRUE(backend->collect(*one, result).ok());
  EXPECT_EQ(result.samples.at(0).token, tokens.back());
  ASSERT_TRUE(backend->collect(*two, result).ok());
  ASSERT_EQ(result.samples.size(), 2U);
  result.logits.resize(kSuiteVocabulary);
  expect_same_logits(result.logits, tail(expected, kSuiteVocabulary), "the step ahead");
}

// However it samples, a backend chooses what the engine's Sampler chooses from the same logits.
TEST_P(BackendSuite, RowsChooseWhatTheSamplerChooses) {
  const auto backend = make(4);
  const TokenCount counts[] = {{7, 2, true}, {8, 0, true}, {9, 1, false}};
  const SampleBias bias[] = {{11, 5.0F}, {12, -5.0F}};
  std::vector<std::uint32_t> mask((kSuiteVocabulary + 31) / 32, 0x0F0F0F0FU);
  std::vector<SampleSpec> specs(9);
  specs[1].temperature = 0.7F;
  specs[2] = {.temperature = 1.5F, .top_p = 0.8F, .min_p = 0.01F, .top_k = 40};
  specs[3] = {.repetition_penalty = 1.3F, .presence_penalty = 0.5F, .frequency_penalty = 0.4F};
  specs[3].counts = counts;
  specs[4].bias = bias;
  specs[4].logprob = true;
  specs[4].top_logprobs = 4;
  specs[5].mask = mask;
  specs[6] = {.temperature = 1.0F, .logprob = true, .top_logprobs = 2};
  specs[7] = {.logprob = true, .scored = 5};
  specs[8] = {.logprob = true, .top_logprobs = 3, .scored = kSuiteVocabulary - 1};
  const std::vector<TokenId> tokens = random_tokens(40, 17);
  for (SampleSpec& spec : specs) {
    spec.seed = 1234;
    spec.position = 40;
    spec.want_logits = true;
  }
  StepBatch batch;
  ScriptedSequence sequence{tokens, pages_from(0, 2)};
  const StepPart part{&sequence, 40, WhichLogits::kAll};
  batch = make_batch(std::span(&part, 1), {});
  batch.samples.resize(specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) batch.samples[i].spec = specs[i];
  const Result<Backend::StepHandle> handle = backend->submit(batch);
  ASSERT_TRUE(handle.ok()) << handle.error().message;
  StepResult result;
  ASSERT_TRUE(backend->collect(*handle, result).ok());
  ASSERT_EQ(result.samples.size(), specs.size());
  Sampler sampler;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    SCOPED_TRACE(i);
    const auto begin = result.logits.begin() + static_cast<std::ptrdiff_t>(i) * kSuiteVocabulary;
    Logits row(begin, begin + kSuiteVocabulary);
    std::vector<TokenLogprob> tops;
    const SampledToken expected = sampler.sample(specs[i], row, tops);
    const SampledToken& sample = result.samples[i];
    EXPECT_EQ(sample.token, expected.token);
    EXPECT_EQ(sample.logprob, expected.logprob);
    ASSERT_EQ(sample.num_top_logprobs, specs[i].top_logprobs);
    for (std::size_t k = 0; k < tops.size(); ++k) {
      const TokenLogprob& top = result.top_logprobs[static_cast<std::size_t>(sample.first_top_logprob) + k];
      EXPECT_EQ(top.token, tops[k].token);
      EXPECT_EQ(top.logprob, tops[k].logprob);
    }
  }
}

TEST_P(BackendSuite, RefusesStepsThatMakeNoSense) {
  const auto backend = make(4, {.tokens = 16, .sequences = 2});
  EXPECT_EQ(backend->info().max_batch_tokens, 16);
  const auto check = [&](const char* what, auto&& spoil) {
    ScriptedSequence sequence{random_tokens(8, 1), {0}};
    const StepPart part{&sequence, 8, WhichLogits::kLast};
    StepBatch batch = make_batch(std::span(&part, 1), {});
    spoil(batch);
    const Result<Backend::StepHandle> handle = backend->submit(batch);
    ASSERT_FALSE(handle.ok()) << what;
    EXPECT_EQ(handle.error().kind, ErrorKind::kInternal) << what;
  };
  check("token", [](StepBatch& batch) { batch.tokens[0] = TokenInput::id(1 << 20); });
  check("previous row", [](StepBatch& batch) { batch.tokens[0] = TokenInput::previous_sample(3); });
  check("page", [](StepBatch& batch) { batch.page_ids[0] = 4; });
  check("no page", [](StepBatch& batch) { batch.page_ids[0] = kNoPage; });
  check("table", [](StepBatch& batch) { batch.sequences[0].page_tables[0].count = 2; });
  check("position", [](StepBatch& batch) { batch.sequences[0].first_position = 30; });
  check("context", [](StepBatch& batch) { batch.sequences[0].first_position = 1 << 30; });
  check("cover", [](StepBatch& batch) { batch.sequences[0].num_tokens = 7; });
  check("sample", [](StepBatch& batch) { batch.samples[0].token_index = 8; });
  check("scored token", [](StepBatch& batch) { batch.samples[0].spec.scored = kSuiteVocabulary; });
  check("tokens", [](StepBatch& batch) { batch.tokens.resize(17, TokenInput::id(0)); });
  const std::int32_t num_layers = backend->info().num_sliceable_layers;
  check("slice of nobody", [&](StepBatch& batch) { batch.slice = {2, 0, num_layers}; });
  check("slice of less than nobody", [&](StepBatch& batch) { batch.slice = {-1, 0, num_layers}; });
  check("empty slice", [](StepBatch& batch) { batch.slice = {1, 1, 1}; });
  check("slice before the first layer", [&](StepBatch& batch) { batch.slice = {1, -1, num_layers}; });
  check("slice beyond the last layer", [&](StepBatch& batch) { batch.slice = {1, 0, num_layers + 1}; });
  check("sample in the middle", [](StepBatch& batch) { batch.slice = {1, 0, 1}; });
  for (const std::int32_t row : {-1, 9, 1 << 30}) {
    check("kept row", [&](StepBatch& batch) {
      batch.slice = {1, 0, std::max(1, num_layers)};
      batch.sequences[0].kept_row = row;
    });
  }
  StepResult result;
  EXPECT_FALSE(backend->collect(77, result).ok());
  // And still works.
  ScriptedSequence sequence{random_tokens(8, 1), {0}};
  const StepPart part{&sequence, 8, WhichLogits::kLast};
  EXPECT_TRUE(run_step(*backend, std::span(&part, 1)).ok());
}

}  // namespace
}  // namespace mlxd::testing
