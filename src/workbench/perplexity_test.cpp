#include "workbench/perplexity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <string>
#include <utility>

#include "backends/cpu/cpu_backend.h"
#include "model/json.h"
#include "model/model_folder.h"
#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using testing::SyntheticModelOptions;
using testing::TemporaryFolder;
using testing::write_synthetic_model;

using Windows = std::vector<PerplexityWindow>;

TEST(PerplexityWindows, CoverEachTokenOnce) {
  const auto check = [](std::int64_t tokens, std::int64_t capacity, std::int64_t stride, bool has_bos,
                        const Windows& expected) {
    EXPECT_EQ(perplexity_windows(tokens, capacity, stride, has_bos), expected)
        << tokens << " " << capacity << " " << stride << " " << has_bos;
  };
  check(5, 8, 4, false, {{0, 5, 1}});
  check(5, 8, 4, true, {{0, 5, 0}});
  check(8, 8, 4, false, {{0, 8, 1}});
  check(9, 8, 4, false, {{0, 8, 1}, {4, 9, 8}});
  check(17, 8, 4, false, {{0, 8, 1}, {4, 12, 8}, {8, 16, 12}, {12, 17, 16}});
  check(17, 8, 3, true, {{0, 8, 0}, {3, 11, 8}, {6, 14, 11}, {9, 17, 14}});
  // Side by side the first of each has nothing before it, unless that is a BOS.
  check(16, 8, 8, false, {{0, 8, 1}, {8, 16, 9}});
  check(17, 8, 8, false, {{0, 8, 1}, {8, 16, 9}});
  check(17, 8, 8, true, {{0, 8, 0}, {8, 16, 8}, {16, 17, 16}});
  check(2, 1, 1, true, {{0, 1, 0}, {1, 2, 1}});
}

TEST(PerplexityWindows, LeaveTheContextThatTheyPromise) {
  for (std::int64_t capacity = 2; capacity < 12; ++capacity) {
    for (std::int64_t stride = 1; stride < capacity; ++stride) {
      for (std::int64_t tokens = 2; tokens < 40; ++tokens) {
        std::int64_t next = 1;
        for (const PerplexityWindow& window : perplexity_windows(tokens, capacity, stride, false)) {
          ASSERT_LE(window.end - window.begin, capacity);
          ASSERT_EQ(window.first_scored, next);
          ASSERT_GE(window.first_scored - window.begin, window.begin > 0 ? capacity - stride : 1);
          next = window.end;
        }
        ASSERT_EQ(next, tokens);
      }
    }
  }
}

class PerplexityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(write_synthetic_model(model(), SyntheticModelOptions{}).ok());
    for (int i = 0; i < 150; ++i) text_ += static_cast<char>('a' + (i * i) % 26);
  }
  fs::path model() const { return folder_.path() / "model"; }
  fs::path write(const std::string& bytes) const {
    const fs::path path = folder_.path() / "text.txt";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  void change_tokenizer(const std::function<void(json::object&)>& change) const {
    const fs::path path = model() / "tokenizer.json";
    json::object tokenizer = read_json_object(path, 1U << 22U).take_value();
    change(tokenizer);
    std::ofstream(path, std::ios::trunc) << json::serialize(tokenizer);
  }
  void refuses(const fs::path& text, const PerplexityOptions& options, ErrorKind kind,
               const std::string& expected) const {
    const auto report = measure_perplexity(model(), text, options);
    ASSERT_FALSE(report.ok()) << expected;
    EXPECT_EQ(report.error().kind, kind) << report.error().message;
    EXPECT_NE(report.error().message.find(expected), std::string::npos) << report.error().message;
  }

  /// −ln p of byte i of the text after the bytes [begin, i), from the logits alone.
  double loss_of(CpuBackend& backend, std::int64_t begin, std::int64_t i) const {
    StepBatch batch;
    for (std::int64_t at = begin; at < i; ++at) {
      batch.tokens.push_back(TokenInput::id(static_cast<unsigned char>(text_[static_cast<std::size_t>(at)])));
    }
    BatchSequence sequence;
    sequence.num_tokens = static_cast<std::int32_t>(i - begin);
    sequence.page_tables.fill({0, kPages});
    for (PageId page = 0; page < kPages; ++page) batch.page_ids.push_back(page);
    batch.sequences.push_back(sequence);
    SampleRow row;
    row.token_index = sequence.num_tokens - 1;
    row.spec.want_logits = true;
    batch.samples.push_back(row);
    StepResult result;
    const auto step = backend.submit(batch);
    EXPECT_TRUE(step.ok() && backend.collect(*step, result).ok());
    double sum = 0.0;
    for (const float logit : result.logits) sum += std::exp(static_cast<double>(logit));
    const auto target = static_cast<unsigned char>(text_[static_cast<std::size_t>(i)]);
    return std::log(sum) - static_cast<double>(result.logits[target]);
  }

  static constexpr std::int32_t kPages = 8;
  TemporaryFolder folder_;
  std::string text_;
};

TEST_F(PerplexityTest, IsWhatTheLogitsSay) {
  const fs::path text = write(text_);
  for (const bool reference : {true, false}) {
    const ModelFolder folder = ModelFolder::open(model()).take_value();
    CpuOptions cpu;
    cpu.precision = reference ? CpuPrecision::kReference : CpuPrecision::kFast;
    const auto backend = CpuBackend::load(folder, cpu).take_value();
    ASSERT_TRUE(backend->resize_pages(0, kPages).ok());
    // Windows of 64 by 40: [0, 64), [40, 104), [80, 144), [120, 150).
    double sum = 0.0;
    double squares = 0.0;
    for (std::int64_t i = 1; i < 150; ++i) {
      const std::int64_t begin = i < 64 ? 0 : i < 104 ? 40 : i < 144 ? 80 : 120;
      const double loss = loss_of(*backend, begin, i);
      sum += loss;
      squares += loss * loss;
    }
    const double mean = sum / 149;
    PerplexityOptions options;
    options.context_tokens = 64;
    options.stride_tokens = 40;
    options.reference = reference;
    const auto report = measure_perplexity(model(), text, options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_NEAR(report->mean_loss, mean, 1e-6);
    EXPECT_NEAR(report->perplexity, std::exp(mean), 1e-5 * std::exp(mean));
    EXPECT_NEAR(report->standard_error, std::exp(mean) * std::sqrt((squares / 149 - mean * mean) / 148),
                1e-4);
    EXPECT_NEAR(report->bits_per_byte, mean / std::log(2.0), 1e-6);
    EXPECT_EQ(report->text_tokens, 150);
    EXPECT_EQ(report->scored_tokens, 149);
    EXPECT_EQ(report->windows, 4);
    EXPECT_EQ(report->computed_tokens, 63 + 63 + 63 + 29);
    EXPECT_FALSE(report->has_bos);
  }
}

TEST_F(PerplexityTest, TakesItsSizesFromTheModelWhereNothingIsSaid) {
  const auto report = measure_perplexity(model(), write(std::string(700, 'x')), {});
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->context_tokens, 512);
  EXPECT_EQ(report->stride_tokens, 256);
  EXPECT_EQ(report->windows, 2);
  EXPECT_EQ(report->scored_tokens, 699);
}

TEST_F(PerplexityTest, ProgressRisesToOne) {
  std::vector<double> seen;
  PerplexityOptions options;
  options.context_tokens = 32;
  options.progress = [&](double done) { seen.push_back(done); };
  ASSERT_TRUE(measure_perplexity(model(), write(text_), options).ok());
  ASSERT_GT(seen.size(), 5U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 1.0);
}

TEST_F(PerplexityTest, ABosStandsBeforeEveryWindow) {
  change_tokenizer([](json::object& tokenizer) {
    tokenizer["post_processor"] = parse_json(R"({"type": "TemplateProcessing",
                       "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
                                  {"Sequence": {"id": "A", "type_id": 0}}],
                       "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                       "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [257],
                                                           "tokens": ["<|im_start|>"]}}})",
                                             "post_processor")
                                      .take_value();
  });
  PerplexityOptions options;
  options.context_tokens = 64;
  options.stride_tokens = 64;
  const auto report = measure_perplexity(model(), write(text_), options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_TRUE(report->has_bos);
  EXPECT_EQ(report->scored_tokens, 150);
  EXPECT_EQ(report->windows, 3);
  EXPECT_EQ(report->computed_tokens, 150);
  // A text that spells it has it once.
  const auto spelt = measure_perplexity(model(), write("<|im_start|>" + text_), options);
  ASSERT_TRUE(spelt.ok()) << spelt.error().message;
  EXPECT_EQ(spelt->mean_loss, report->mean_loss);
}

TEST_F(PerplexityTest, SaysWhatIsWrongWithTextAndSizes) {
  const auto wrong = ErrorKind::kInvalidArgument;
  refuses(folder_.path() / "absent.txt", {}, ErrorKind::kNotFound, "absent.txt");
  refuses(write(""), {}, wrong, "text.txt is empty: give a file with text");
  refuses(write("x"), {}, wrong, "text.txt has 1 token, at least 2 are needed");
  refuses(write("fine \xff\xfe"), {}, wrong, "is not valid UTF-8 at byte 5; save it as UTF-8");
  refuses(folder_.path(), {}, ErrorKind::kIo, folder_.path().string());
  const fs::path large = write("");
  fs::resize_file(large, kMaxPerplexityTextBytes + 1);
  refuses(large, {}, ErrorKind::kTooLarge, "the limit is 16 MiB");
  const fs::path text = write(text_);
  refuses(text, {.context_tokens = 513}, wrong, "must be 2 to 512");
  refuses(text, {.context_tokens = 1}, wrong, "must be 2 to 512");
  refuses(text, {.context_tokens = 64, .stride_tokens = 65}, wrong, "at most the context, 64");
  refuses(text, {.kv_format = "fp8"}, wrong, "fp8");
}

TEST_F(PerplexityTest, RefusesATokenizerWithTokensThatTheModelLacks) {
  change_tokenizer([](json::object& tokenizer) {
    for (json::value& token : tokenizer["added_tokens"].as_array()) {
      if (token.at("content") == "<|im_end|>") token.as_object()["id"] = 9000;
    }
    tokenizer["model"].as_object()["vocab"].as_object()["<|im_end|>"] = 9000;
  });
  EXPECT_TRUE(measure_perplexity(model(), write(text_), {}).ok());
  refuses(write("before<|im_end|>"), {}, ErrorKind::kCorruptData,
          "the tokenizer gives token 9000, the model's vocabulary has 320");
  fs::remove(model() / "tokenizer.json");
  refuses(write(text_), {}, ErrorKind::kNotFound, "tokenizer.json");
}

TEST_F(PerplexityTest, CanBeStoppedWhichChangesNothingInWhatItFindsOtherwise) {
  std::string text;
  for (int i = 0; i < 1500; ++i) text += static_cast<char>('a' + (i * i) % 26);
  PerplexityOptions options;
  options.context_tokens = 512;
  const auto whole = measure_perplexity(model(), write(text), options);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  std::atomic<bool> stop{false};
  options.stop = &stop;
  const auto watched = measure_text_perplexity(model(), text, "the text", options);
  ASSERT_TRUE(watched.ok()) << watched.error().message;
  EXPECT_EQ(watched->perplexity, whole->perplexity);
  EXPECT_EQ(watched->mean_loss, whole->mean_loss);
  options.progress = [&stop](double) { stop = true; };
  EXPECT_EQ(measure_text_perplexity(model(), text, "the text", options).error().kind, ErrorKind::kCancelled);
}

}  // namespace
}  // namespace mlxd
