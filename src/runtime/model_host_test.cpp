#include "runtime/model_host.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "model/testing/synthetic_model.h"
#include "runtime/text_stream.h"

namespace mlxd {
namespace {

using testing::TemporaryFolder;

constexpr std::chrono::milliseconds kLong{60000};

struct Answer {
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  std::int32_t completion_tokens = 0;
};

GenerationStream submit(const ModelHost& host, std::vector<TokenId> prompt, SamplingParams sampling,
                        std::int32_t max_tokens) {
  GenerationRequest::Fields fields;
  fields.prompt = std::move(prompt);
  fields.sampling = std::move(sampling);
  fields.max_tokens = max_tokens;
  fields.stop_tokens = host.eos_tokens();
  auto request = GenerationRequest::create(std::move(fields), host.limits());
  EXPECT_TRUE(request.ok());
  auto stream = host.engine().submit(request.take_value(), nullptr);
  EXPECT_TRUE(stream.ok());
  return stream.take_value();
}

Answer read(const ModelHost& host, GenerationStream stream) {
  TextStream text(host.tokenizer(), {.stop_strings = {}, .stop_tokens = host.eos_tokens()});
  Answer answer;
  bool more = true;
  while (more && stream.wait(kLong)) {
    std::vector<TokenEvent> events;
    more = stream.take_events(events);
    for (const TokenEvent& event : events) {
      EXPECT_FALSE(event.error) << event.error->message;
      answer.tokens.push_back(event.token);
      answer.logprobs.push_back(event.logprob.value_or(0.0F));
    }
    if (const auto piece = text.push(std::move(events))) answer.text += content_of(*piece);
  }
  answer.completion_tokens = text.completion_tokens();
  return answer;
}

class ModelHostTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(testing::write_synthetic_model(folder_.path() / "tiny", {}).ok()); }
  std::filesystem::path path() const { return folder_.path() / "tiny"; }
  TemporaryFolder folder_;
};

TEST_F(ModelHostTest, loads_a_folder_and_answers) {
  float progress = 0.0F;
  ModelHostOptions options;
  options.threads = 1;
  options.progress = [&progress](float done) { progress = done; };
  auto host = ModelHost::load(path() / "", options);
  ASSERT_TRUE(host.ok()) << host.error().message;
  EXPECT_EQ((*host)->name(), "tiny");
  EXPECT_EQ((*host)->limits().context_tokens, 512);
  EXPECT_EQ((*host)->limits().vocab_size, 320);
  EXPECT_NE((*host)->chat_format(), nullptr);
  EXPECT_FALSE((*host)->eos_tokens().empty());
  EXPECT_GT((*host)->load_seconds(), 0.0);
  EXPECT_GT((*host)->num_parameters(), 0);
  EXPECT_EQ(progress, 1.0F);
  const Answer answer = read(**host, submit(**host, {72, 105}, {.temperature = 0.0F, .seed = 1}, 20));
  EXPECT_EQ(answer.completion_tokens, static_cast<std::int32_t>(answer.tokens.size()));
}

TEST_F(ModelHostTest, tokens_and_logprobs_are_the_same_alone_and_in_company) {
  ModelHostOptions options;
  options.threads = 2;
  auto host = ModelHost::load(path(), options);
  ASSERT_TRUE(host.ok()) << host.error().message;
  const auto start = [&](std::int32_t i) {
    std::vector<TokenId> prompt;
    for (std::int32_t t = 0; t < 5 + 37 * i; ++t) prompt.push_back((t * 11 + i) % 256);
    return submit(
        **host, std::move(prompt),
        {.temperature = i % 2 == 0 ? 0.0F : 1.0F, .seed = static_cast<std::uint64_t>(i), .logprobs = true},
        40);
  };
  std::vector<Answer> alone;
  for (std::int32_t i = 0; i < 8; ++i) alone.push_back(read(**host, start(i)));
  std::vector<GenerationStream> streams;
  for (std::int32_t i = 0; i < 8; ++i) streams.push_back(start(i));
  for (std::size_t i = 0; i < 8; ++i) {
    const Answer together = read(**host, std::move(streams[i]));
    EXPECT_EQ(together.tokens, alone[i].tokens) << i;
    EXPECT_EQ(together.logprobs, alone[i].logprobs) << i;
  }
}

TEST_F(ModelHostTest, options_that_cannot_be_are_refused) {
  const auto kind = [&](ModelHostOptions options) {
    const auto host = ModelHost::load(path(), std::move(options));
    return host.ok() ? std::nullopt : std::optional(host.error().kind);
  };
  ModelHostOptions options;
  options.backend = "abacus";
  EXPECT_EQ(kind(options), ErrorKind::kInvalidArgument);
  options = {};
  options.context_tokens = 513;
  EXPECT_EQ(kind(options), ErrorKind::kInvalidArgument);
  options = {};
  options.kv_bytes = 1;
  EXPECT_EQ(kind(options), ErrorKind::kOutOfMemory);
  EXPECT_EQ(ModelHost::load(folder_.path() / "nothing", {}).error().kind, ErrorKind::kNotFound);
}

TEST_F(ModelHostTest, a_shorter_context_limits_requests) {
  ModelHostOptions options;
  options.context_tokens = 64;
  auto host = ModelHost::load(path(), options);
  ASSERT_TRUE(host.ok()) << host.error().message;
  EXPECT_EQ((*host)->limits().context_tokens, 64);
  EXPECT_EQ(read(**host, submit(**host, {1, 2, 3, 4}, {.temperature = 1.0F, .seed = 3}, 0)).tokens.size(),
            60U);
}

TEST_F(ModelHostTest, a_quota_for_everything_leaves_k_v_the_rest_and_can_change) {
  constexpr std::size_t kMebibyte = std::size_t{1} << 20U;
  ModelHostOptions options;
  options.memory_bytes = 64 * kMebibyte;
  auto host = ModelHost::load(path(), options);
  ASSERT_TRUE(host.ok()) << host.error().message;
  const auto taken = [&] {
    const BackendMemory memory = (*host)->engine().backend_memory();
    return memory.weight_bytes + memory.page_bytes + memory.scratch_bytes;
  };
  EXPECT_LE(taken(), options.memory_bytes);
  const std::int32_t before = (*host)->engine().stats().capacity_pages;
  GenerationStream stream = submit(**host, {1, 2, 3, 4}, {.temperature = 1.0F, .seed = 3}, 40);
  const auto alone = read(**host, submit(**host, {1, 2, 3, 4}, {.temperature = 1.0F, .seed = 3}, 40));
  ASSERT_TRUE((*host)->set_memory_bytes(48 * kMebibyte).ok());
  EXPECT_LT((*host)->engine().stats().capacity_pages, before);
  EXPECT_LE(taken(), 48 * kMebibyte);
  EXPECT_EQ(read(**host, std::move(stream)).tokens, alone.tokens);
  ASSERT_TRUE((*host)->set_memory_bytes(64 * kMebibyte).ok());
  EXPECT_EQ((*host)->engine().stats().capacity_pages, before);

  const auto refused = (*host)->set_memory_bytes(1);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kOutOfMemory);
  EXPECT_EQ((*host)->engine().stats().capacity_pages, before);
  options.memory_bytes = 1;
  EXPECT_EQ(ModelHost::load(path(), options).error().kind, ErrorKind::kOutOfMemory);
}

TEST_F(ModelHostTest, a_k_v_format_that_is_none_is_refused) {
  ModelHostOptions options;
  options.kv_format = "fp32";
  EXPECT_EQ(ModelHost::load(path(), options).error().kind, ErrorKind::kInvalidArgument);
  options.kv_format = "int8";
  EXPECT_TRUE(ModelHost::load(path(), options).ok());
}

TEST_F(ModelHostTest, activations_have_8_or_16_bits) {
  ModelHostOptions options;
  options.activation_bits = 4;
  EXPECT_EQ(ModelHost::load(path(), options).error().kind, ErrorKind::kInvalidArgument);
  options.activation_bits = 16;
  EXPECT_TRUE(ModelHost::load(path(), options).ok());
}

TEST_F(ModelHostTest, speculation_needs_what_it_names) {
  const auto refusal = [&](const std::string& speculation, const std::filesystem::path& draft_model) {
    ModelHostOptions options;
    options.speculation = speculation;
    options.draft_model = draft_model;
    const auto host = ModelHost::load(path(), options);
    return host.ok() ? std::string("loaded") : host.error().message;
  };
  EXPECT_EQ(refusal("auto", {}), "loaded");
  EXPECT_EQ(refusal("off", {}), "loaded");
  EXPECT_EQ(refusal("lookup", {}), "loaded");
  EXPECT_EQ(refusal("auto", path()), "loaded");
  EXPECT_EQ(refusal("draft", path()), "loaded");
  EXPECT_EQ(refusal("draft", {}), "speculation 'draft' needs a draft model");
  EXPECT_EQ(refusal("lookup", path()), "speculation 'lookup' leaves the draft model unused: leave one out");
  EXPECT_EQ(refusal("medusa", {}), "speculation 'medusa' is unknown: use auto, off, lookup or draft");
  EXPECT_NE(refusal("auto", "/nowhere/at/all").find("/nowhere/at/all"), std::string::npos);
}

TEST_F(ModelHostTest, a_draft_model_of_another_vocabulary_is_refused) {
  TemporaryFolder other;
  ASSERT_TRUE(testing::write_synthetic_model(other.path(), {}).ok());
  const std::filesystem::path file = other.path() / "tokenizer.json";
  std::string text;
  {
    std::ifstream in(file);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  const std::size_t place = text.find("<|im_start|>");
  ASSERT_NE(place, std::string::npos);
  for (std::size_t at = place; at != std::string::npos; at = text.find("<|im_start|>", at))
    text.replace(at, 12, "<|im_begin|>");
  std::ofstream(file) << text;
  ModelHostOptions options;
  options.draft_model = other.path();
  const auto host = ModelHost::load(path(), options);
  ASSERT_FALSE(host.ok());
  EXPECT_EQ(host.error().field, "draft-model");
  EXPECT_NE(host.error().message.find("token 257 is '<|im_begin|>', the model's is '<|im_start|>'"),
            std::string::npos)
      << host.error().message;
}

TEST_F(ModelHostTest, a_draft_model_shares_the_quota_and_changes_no_answer) {
  constexpr std::size_t kMebibyte = std::size_t{1} << 20U;
  ModelHostOptions options;
  options.memory_bytes = 64 * kMebibyte;
  options.speculation = "off";
  auto plain = ModelHost::load(path(), options);
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  options.speculation = "draft";
  options.draft_model = path();
  auto host = ModelHost::load(path(), options);
  ASSERT_TRUE(host.ok()) << host.error().message;
  const BackendMemory memory = (*host)->engine().backend_memory();
  EXPECT_EQ(memory.weight_bytes, 2 * (*plain)->engine().backend_memory().weight_bytes);
  EXPECT_LE(memory.weight_bytes + memory.page_bytes + memory.scratch_bytes, options.memory_bytes);
  EXPECT_LT((*host)->engine().stats().capacity_pages, (*plain)->engine().stats().capacity_pages);
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const SamplingParams sampling{
        .temperature = 0.25F * static_cast<float>(seed - 1), .seed = seed, .logprobs = true};
    const Answer with = read(**host, submit(**host, {1, 2, 3, 4, 1, 2}, sampling, 60));
    const Answer without = read(**plain, submit(**plain, {1, 2, 3, 4, 1, 2}, sampling, 60));
    EXPECT_EQ(with.tokens, without.tokens);
    EXPECT_EQ(with.logprobs, without.logprobs);
  }
}

// Sanitized builds are some thirty times slower.
#if defined(MLXD_SANITIZED)
constexpr std::size_t kGuessedAnswers = 2;
constexpr std::int32_t kGuessedTokens = 12;
#else
constexpr std::size_t kGuessedAnswers = 8;
constexpr std::int32_t kGuessedTokens = 48;
#endif

// With a real model, named by MLXD_TEST_MODEL.
TEST(RealModel, guessing_ahead_changes_no_answer) {
  const char* folder = std::getenv("MLXD_TEST_MODEL");
  if (folder == nullptr) GTEST_SKIP() << "MLXD_TEST_MODEL names no model folder";
  ModelHostOptions options;
  options.speculation = "off";
  auto plain = ModelHost::load(folder, options);
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  options.speculation = "lookup";
  auto lookup = ModelHost::load(folder, options);
  ASSERT_TRUE(lookup.ok()) << lookup.error().message;
  options.speculation = "draft";
  options.draft_model = folder;
  auto draft = ModelHost::load(folder, options);
  ASSERT_TRUE(draft.ok()) << draft.error().message;
  const std::string verse = "The river runs, the mill wheel turns, the miller counts his flour sacks.\n";
  const std::vector<std::string> prompts{verse + verse + verse + "The river",
                                         "One two three one two three one",
                                         "A list of colours:\n- red\n- green\n- blue\n- red\n-"};
  const auto start = [](const ModelHost& host, const std::string& prompt, std::size_t i) {
    auto tokens = host.tokenizer().encode(prompt, true);
    EXPECT_TRUE(tokens.ok());
    SamplingParams sampling{.temperature = 0.4F * static_cast<float>(i % 4), .seed = i, .logprobs = true};
    if (i % 3 == 1) sampling.frequency_penalty = 0.2F;
    return submit(host, tokens.take_value(), sampling, kGuessedTokens);
  };
  for (std::size_t i = 0; i < kGuessedAnswers; ++i) {
    const std::string& prompt = prompts[i % prompts.size()];
    const Answer expected = read(**plain, start(**plain, prompt, i));
    for (const auto* host : {&lookup, &draft}) {
      // Beside others, so that drafts of several are verified together.
      std::vector<GenerationStream> streams;
      for (int copy = 0; copy < 3; ++copy) streams.push_back(start(***host, prompt, i));
      for (GenerationStream& stream : streams) {
        const Answer answer = read(***host, std::move(stream));
        EXPECT_EQ(answer.tokens, expected.tokens);
        EXPECT_EQ(answer.logprobs, expected.logprobs);
      }
    }
  }
  EXPECT_EQ((*plain)->engine().stats().drafted_tokens, 0U);
  EXPECT_GT((*lookup)->engine().stats().accepted_tokens, 0U);
}

TEST(RealModel, eight_streams_together_say_what_each_says_alone) {
  const char* folder = std::getenv("MLXD_TEST_MODEL");
  if (folder == nullptr) GTEST_SKIP() << "MLXD_TEST_MODEL names no model folder";
  auto host = ModelHost::load(folder, {});
  ASSERT_TRUE(host.ok()) << host.error().message;
  const std::vector<std::string> prompts{
      "The capital of France is", "Once upon a time",       "Water boils at",  "def fibonacci(n):",
      "The sun rises in",         "My favourite colour is", "Two plus two is", "In 1969 people"};
  const auto start = [&](std::size_t i) {
    auto tokens = (*host)->tokenizer().encode(prompts[i], true);
    EXPECT_TRUE(tokens.ok());
    return submit(**host, tokens.take_value(),
                  {.temperature = i % 2 == 0 ? 0.0F : 0.8F, .top_p = 0.95F, .seed = i, .logprobs = true}, 24);
  };
  std::vector<Answer> alone;
  for (std::size_t i = 0; i < prompts.size(); ++i) alone.push_back(read(**host, start(i)));
  EXPECT_EQ(alone[0].text.substr(0, 6), " Paris") << alone[0].text;
  std::vector<GenerationStream> streams;
  for (std::size_t i = 0; i < prompts.size(); ++i) streams.push_back(start(i));
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Answer together = read(**host, std::move(streams[i]));
    EXPECT_EQ(together.text, alone[i].text);
    EXPECT_EQ(together.logprobs, alone[i].logprobs);
  }
  EXPECT_EQ((*host)->engine().stats().max_batch_sequences, 8);
}

}  // namespace
}  // namespace mlxd
