#include "workbench/probe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>

#include "workbench/probe_json.h"

namespace mlxd {
namespace {

namespace json = boost::json;

ProbeReport example() {
  ProbeReport report;
  report.model = "m";
  report.family = "qwen3";
  report.context.model_tokens = 4096;
  report.end_tokens = {"<|im_end|>"};
  report.ends_by_itself = true;
  report.reasoning = {.open = "<think>", .close = "</think>", .by_itself = true};
  report.tools = {.dialect = "hermes", .in_template = true, .called = false};
  report.switches = {{"enable_thinking", "true", true}};
  return report;
}

TEST(ProbeReports, are_kept_and_read_again) {
  const ProbeReport before = example();
  const auto read = parse_probe(json::serialize(probe_json(before)));
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_TRUE(compare_probes(before, read.value()).empty());
  EXPECT_EQ(read.value().switches.front().changes_prompt, true);
}

TEST(ProbeReports, differ_in_what_a_model_is) {
  const ProbeReport before = example();
  ProbeReport now = example();
  now.family = "chatml";
  now.tools.called = true;
  now.switches.clear();
  now.speed = {{1, 100.0, 10.0}};
  EXPECT_EQ(compare_probes(before, now),
            (std::vector<std::string>{"The family was qwen3 and is chatml now.",
                                      "The list of switches was enable_thinking and is none now.",
                                      "\"Calls tools by itself\" was no and is yes now."}));
}

TEST(ProbeReports, that_are_none_say_which_field) {
  json::object object = probe_json(example());
  for (const char* const key : {"family", "end_tokens", "switches", "context", "reasoning", "tools"}) {
    json::object broken = object;
    broken[key] = 3;
    const auto read = parse_probe(json::serialize(broken));
    ASSERT_FALSE(read.ok()) << key;
    EXPECT_EQ(read.error().field, key);
    EXPECT_EQ(read.error().kind, ErrorKind::kCorruptData);
  }
  EXPECT_FALSE(parse_probe("[]").ok());
  EXPECT_FALSE(parse_probe("{").ok());
}

class ProbeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* const folder = std::getenv("MLXD_TEST_MODEL");
    ASSERT_NE(folder, nullptr) << "MLXD_TEST_MODEL names the demo model's folder";
    ModelHostOptions options;
    options.threads = 1;
    options.context_tokens = 1024;
    options.speculation = "off";
    options.gap_ratio = 1e9;
    auto loaded = ModelHost::load(folder, options);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    model_ = loaded.take_value();
  }
  std::unique_ptr<ModelHost> model_;
};

TEST_F(ProbeTest, finds_what_the_demo_model_does) {
  std::vector<std::string> begun, ended;
  ProbeOptions options;
  options.on_step = [&](const std::string& step, const std::string& outcome) {
    (outcome.empty() ? begun : ended).push_back(step);
  };
  const auto probed = probe_model(*model_, options);
  ASSERT_TRUE(probed.ok()) << probed.error().message;
  const ProbeReport& report = probed.value();
  EXPECT_EQ(begun, (std::vector<std::string>{"context", "ending", "reasoning", "tools", "structure",
                                             "switches", "speed"}));
  EXPECT_EQ(ended, begun);
  EXPECT_EQ(report.family, "chatml");
  EXPECT_EQ(report.context.model_tokens, 8192);
  ASSERT_FALSE(report.context.trials.empty());
  EXPECT_EQ(report.context.trials.back().tokens, 1023) << "as far as it was loaded for";
  EXPECT_NE(std::find(report.end_tokens.begin(), report.end_tokens.end(), "<|im_end|>"),
            report.end_tokens.end());
  EXPECT_EQ(report.ends_by_itself, true);
  EXPECT_EQ(report.reasoning.by_itself, false);
  EXPECT_EQ(report.tools.dialect, "hermes");
  EXPECT_FALSE(report.tools.in_template);
  EXPECT_EQ(report.tools.held_to_call, true);
  EXPECT_EQ(report.keeps_to_schema, true);
  ASSERT_EQ(report.speed.size(), 2U);
  for (const ProbeReport::Speed& speed : report.speed) EXPECT_GT(speed.decode_tokens_per_s, 0.0);
  EXPECT_TRUE(report.remarks.empty()) << report.remarks.front();
}

TEST_F(ProbeTest, stops_when_told_to) {
  int asked = 0;
  ProbeOptions options;
  options.stopped = [&asked] { return ++asked > 3; };
  const auto probed = probe_model(*model_, options);
  ASSERT_FALSE(probed.ok());
  EXPECT_EQ(probed.error().kind, ErrorKind::kCancelled);
}

}  // namespace
}  // namespace mlxd
