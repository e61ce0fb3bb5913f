#include "workbench/bench_workload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace mlxd {
namespace {

WorkloadPlan plan_of(WorkloadKind kind, std::int32_t requests = 16) {
  WorkloadPlan plan;
  plan.kind = kind;
  plan.requests = requests;
  plan.prompt_tokens = 64;
  plan.shared_tokens = 100;
  plan.turns = 3;
  return plan;
}

std::vector<std::string> all_texts(const Workload& workload) {
  std::vector<std::string> texts;
  for (const auto* tasks : {&workload.lead, &workload.tasks})
    for (const WorkloadTask& task : *tasks) texts.insert(texts.end(), task.texts.begin(), task.texts.end());
  return texts;
}

std::int64_t num_words(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return c == ' ' || c == '\n'; }) + 1;
}

TEST(BenchWorkload, KnowsEachKindByItsName) {
  for (const std::string_view name : workload_names()) {
    const auto kind = find_workload(name);
    ASSERT_TRUE(kind) << name;
    EXPECT_EQ(to_string(*kind), name);
  }
  EXPECT_FALSE(find_workload("open"));
  EXPECT_FALSE(find_workload(""));
}

TEST(BenchWorkload, IsTheSameForTheSameSeedAndRunOnly) {
  for (const std::string_view name : workload_names()) {
    WorkloadPlan plan = plan_of(*find_workload(name));
    const Workload first = make_workload(plan, 0);
    const Workload again = make_workload(plan, 0);
    ASSERT_EQ(all_texts(first), all_texts(again)) << name;
    for (std::size_t i = 0; i < first.tasks.size(); ++i)
      EXPECT_EQ(first.tasks[i].arrival_s, again.tasks[i].arrival_s);

    std::set<std::string> seen;
    for (const std::string& text : all_texts(first)) EXPECT_TRUE(seen.insert(text).second) << name;
    for (const std::string& text : all_texts(make_workload(plan, 1)))
      EXPECT_TRUE(seen.insert(text).second) << name;
    plan.seed = 2;
    for (const std::string& text : all_texts(make_workload(plan, 0)))
      EXPECT_TRUE(seen.insert(text).second) << name;
  }
}

// Figures measured on two machines are comparable only if the texts are the same: this one is pinned.
TEST(BenchWorkload, GivesTheSameWordsOnEveryMachine) {
  EXPECT_EQ(random_words(5, 7), "home issue health development mother");
}

TEST(BenchWorkload, MixesPromptLengthsAlikeInEachRun) {
  const auto lengths = [](std::uint64_t run) {
    std::vector<std::int64_t> all;
    for (const WorkloadTask& task : make_workload(plan_of(WorkloadKind::kClosed), run).tasks)
      all.push_back(num_words(task.texts.at(0)));
    return all;
  };
  std::vector<std::int64_t> first = lengths(0), second = lengths(1);
  EXPECT_NE(first, second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, second);
  EXPECT_EQ(first.front(), 16);
  EXPECT_EQ(first.back(), 64);
  EXPECT_NEAR(static_cast<double>(first[8]), std::sqrt(16.0 * 64.0), 3.0);  // the middle of the logarithms
}

TEST(BenchWorkload, LetsRequestsArriveAtTheRateAskedFor) {
  WorkloadPlan plan = plan_of(WorkloadKind::kPoisson, 2000);
  plan.prompt_tokens = 1;
  plan.rate_per_s = 8.0;
  const Workload workload = make_workload(plan, 0);
  ASSERT_EQ(workload.tasks.size(), 2000U);
  EXPECT_EQ(workload.tasks.front().arrival_s, 0.0);
  double squares = 0.0;
  for (std::size_t i = 1; i < workload.tasks.size(); ++i) {
    const double gap = workload.tasks[i].arrival_s - workload.tasks[i - 1].arrival_s;
    ASSERT_GE(gap, 0.0);
    squares += gap * gap;
  }
  const double mean = workload.tasks.back().arrival_s / 1999.0;
  EXPECT_NEAR(mean, 1.0 / 8.0, 0.01);
  // An exponential distribution's deviation is its mean.
  EXPECT_NEAR(std::sqrt(squares / 1999.0 - mean * mean), mean, 0.02);
}

TEST(BenchWorkload, BeginsEachPromptWithTheSharedText) {
  const Workload workload = make_workload(plan_of(WorkloadKind::kSharedPrefix, 4), 0);
  ASSERT_EQ(workload.lead.size(), 1U);
  ASSERT_EQ(workload.tasks.size(), 4U);
  const std::string& lead = workload.lead[0].texts.at(0);
  const std::string shared = lead.substr(0, lead.find("\n\n") + 2);
  EXPECT_EQ(num_words(shared.substr(0, shared.size() - 2)), 100);
  for (const WorkloadTask& task : workload.tasks) {
    EXPECT_TRUE(task.texts.at(0).starts_with(shared));
    EXPECT_EQ(num_words(task.texts[0].substr(shared.size())), 64);
  }
}

TEST(BenchWorkload, HoldsConversationsOfSomeTurns) {
  const Workload workload = make_workload(plan_of(WorkloadKind::kMultiTurn, 2), 0);
  EXPECT_TRUE(workload.lead.empty());
  ASSERT_EQ(workload.tasks.size(), 2U);
  for (const WorkloadTask& task : workload.tasks) {
    ASSERT_EQ(task.texts.size(), 3U);
    for (const std::string& text : task.texts) EXPECT_EQ(num_words(text), 64);
  }
}

TEST(BenchWorkload, KnowsItsLongestSequence) {
  const auto check = [](WorkloadKind kind, std::int64_t expected) {
    WorkloadPlan plan = plan_of(kind);
    plan.tokens = 10;
    EXPECT_EQ(longest_sequence_tokens(plan), expected) << to_string(kind);
  };
  check(WorkloadKind::kClosed, 74);
  check(WorkloadKind::kPoisson, 74);
  check(WorkloadKind::kSharedPrefix, 174);
  check(WorkloadKind::kMultiTurn, 222);
}

}  // namespace
}  // namespace mlxd
