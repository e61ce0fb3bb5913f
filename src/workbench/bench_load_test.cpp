#include "workbench/bench_load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/mutex.h"

namespace mlxd {
namespace {

TimePoint at_ms(double ms) {
  return TimePoint(std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms)));
}

// An answered request, sent at `sent`, with pieces at `times`.
LoadAnswer answered(double sent, const std::vector<double>& times, std::int32_t stage = 0) {
  LoadAnswer answer;
  answer.sent = at_ms(sent);
  for (const double time : times) answer.times.push_back(at_ms(time));
  answer.prompt_tokens = 10;
  answer.completion_tokens = static_cast<std::int32_t>(times.size());
  answer.stage = stage;
  return answer;
}

LoadAnswer failed(const std::string& why) {
  LoadAnswer answer;
  answer.failure = why;
  return answer;
}

// Answers at once, and remembers what was asked and how many asked at the same time.
class FakeTarget : public BenchTarget {
 public:
  std::unique_ptr<BenchConversation> begin(bool is_chat) override {
    const MutexLock lock(mutex);
    is_chat ? ++num_chats : ++num_singles;
    return std::make_unique<Conversation>(*this);
  }

  std::string fail_on;  // a text that is refused
  Mutex mutex;
  std::vector<std::vector<std::string>> conversations GUARDED_BY(mutex);
  int num_chats GUARDED_BY(mutex) = 0;
  int num_singles GUARDED_BY(mutex) = 0;
  int now_asking GUARDED_BY(mutex) = 0;
  int most_asking GUARDED_BY(mutex) = 0;

 private:
  class Conversation : public BenchConversation {
   public:
    explicit Conversation(FakeTarget& target) : target_(target) {}
    ~Conversation() override {
      const MutexLock lock(target_.mutex);
      target_.conversations.push_back(texts_);
    }
    BenchAnswer ask(const std::string& text, std::int32_t max_tokens, TimePoint) override {
      {
        const MutexLock lock(target_.mutex);
        target_.most_asking = std::max(target_.most_asking, ++target_.now_asking);
      }
      texts_.push_back(text);
      BenchAnswer answer;
      answer.sent = Clock::real().now();
      if (text == target_.fail_on) answer.failure = "refused";
      answer.times.assign(static_cast<std::size_t>(max_tokens), answer.sent);
      answer.completion_tokens = max_tokens;
      const MutexLock lock(target_.mutex);
      --target_.now_asking;
      return answer;
    }

   private:
    FakeTarget& target_;
    std::vector<std::string> texts_;
  };
};

WorkloadTask task_of(std::vector<std::string> texts, double arrival_s = 0.0) {
  return {arrival_s, std::move(texts)};
}

TEST(BenchLoad, AsksEveryRequestOnceByAtMostSoManyClients) {
  FakeTarget target;
  Workload workload;
  for (int i = 0; i < 40; ++i) workload.tasks.push_back(task_of({std::to_string(i)}));
  const LoadRun run = run_load(target, workload, {.clients = 3, .tokens = 2}).take_value();
  EXPECT_EQ(run.answers.size(), 40U);
  std::set<std::string> seen;
  const MutexLock lock(target.mutex);
  for (const auto& texts : target.conversations) seen.insert(texts.at(0));
  EXPECT_EQ(seen.size(), 40U);
  EXPECT_LE(target.most_asking, 3);
  EXPECT_EQ(target.num_chats, 0);
}

TEST(BenchLoad, SendsArrivalsWithoutWaitingForAnswers) {
  FakeTarget target;
  Workload workload;
  for (int i = 0; i < 10; ++i) workload.tasks.push_back(task_of({std::to_string(i)}, i * 0.001));
  const TimePoint begin = Clock::real().now();
  const LoadRun run = run_load(target, workload, {.clients = 0, .tokens = 1}).take_value();
  ASSERT_EQ(run.answers.size(), 10U);
  std::vector<TimePoint> sent;
  for (const LoadAnswer& answer : run.answers) sent.push_back(answer.sent);
  std::sort(sent.begin(), sent.end());
  for (std::size_t i = 0; i < sent.size(); ++i)
    EXPECT_GE(sent[i] - begin, std::chrono::milliseconds(i)) << "sent before it arrived";
}

TEST(BenchLoad, HoldsAConversationUntilItFails) {
  FakeTarget target;
  target.fail_on = "b1";
  Workload workload;
  workload.tasks = {task_of({"a0", "a1", "a2"}), task_of({"b0", "b1", "b2"})};
  const LoadRun run = run_load(target, workload, {.clients = 1, .tokens = 1}).take_value();
  const MutexLock lock(target.mutex);
  ASSERT_EQ(target.conversations.size(), 2U);
  EXPECT_EQ(target.conversations[0], (std::vector<std::string>{"a0", "a1", "a2"}));
  EXPECT_EQ(target.conversations[1], (std::vector<std::string>{"b0", "b1"}));
  EXPECT_EQ(target.num_chats, 2);
  ASSERT_EQ(run.answers.size(), 5U);
  EXPECT_EQ(run.answers[2].stage, 2);
  EXPECT_EQ(run.answers[4].stage, 1);
  EXPECT_EQ(run.answers[4].failure, "refused");
}

TEST(BenchLoad, SendsTheLeadFirstAndAlone) {
  FakeTarget target;
  Workload workload;
  workload.lead = {task_of({"lead"})};
  workload.tasks = {task_of({"x"}), task_of({"y"})};
  const LoadRun run = run_load(target, workload, {.clients = 2, .tokens = 1}).take_value();
  ASSERT_EQ(run.answers.size(), 3U);
  EXPECT_TRUE(run.answers[0].is_lead);
  EXPECT_EQ(run.answers[0].stage, 0);
  EXPECT_EQ(run.answers[1].stage, 1);
  const MutexLock lock(target.mutex);
  EXPECT_EQ(target.conversations.at(0), std::vector<std::string>{"lead"});
}

TEST(BenchLoad, AsksNothingOnceTheTimeIsUp) {
  FakeTarget target;
  Workload workload;
  workload.tasks = {task_of({"x"}), task_of({"y"}, 1e6)};
  for (const std::int32_t clients : {0, 1}) {
    const LoadRun run =
        run_load(target, workload, {.clients = clients, .tokens = 1, .deadline = Clock::real().now()})
            .take_value();
    EXPECT_EQ(summarize_load(std::vector{run}).failures,
              (std::map<std::string, std::int32_t>{{kBenchTimeIsUp, 2}}));
  }
}

TEST(BenchLoad, CountsRatesFromTheFirstRequestToTheLastToken) {
  LoadRun first, second;
  first.answers = {answered(0, {100, 200, 300}), answered(100, {400, 500})};  // 5 tokens in 500 ms
  second.answers = {answered(0, {100, 200, 250})};                            // 3 tokens in 250 ms
  const LoadFigures figures = summarize_load(std::vector{first, second});
  EXPECT_DOUBLE_EQ(figures.tokens_per_s, 11.0);
  EXPECT_DOUBLE_EQ(figures.tokens_per_s_spread, 1.0 / 11.0);
  EXPECT_DOUBLE_EQ(figures.requests_per_s, 4.0);
  EXPECT_EQ(figures.answered, 3);
  EXPECT_EQ(figures.time_to_first_token_ms, (std::vector<double>{100, 300, 100}));
  EXPECT_EQ(figures.inter_token_ms, (std::vector<double>{100, 100, 100, 100, 50}));
  EXPECT_DOUBLE_EQ(figures.prompt_tokens, 10.0);
}

TEST(BenchLoad, NamesAndCountsFailures) {
  LoadRun run;
  run.answers = {answered(0, {10}), failed("status 503: full"), failed("status 503: full"), failed("gone")};
  const LoadFigures figures = summarize_load(std::vector{run});
  EXPECT_EQ(figures.answered, 1);
  EXPECT_EQ(num_failed(figures), 3);
  EXPECT_EQ(figures.failures, (std::map<std::string, std::int32_t>{{"gone", 1}, {"status 503: full", 2}}));
}

TEST(BenchLoad, MakesZeroesOfNothing) {
  LoadRun run;
  run.answers = {failed("gone")};
  for (const auto& runs : {std::vector<LoadRun>{}, std::vector{run}}) {
    const LoadFigures figures = summarize_load(runs);
    EXPECT_EQ(figures.answered, 0);
    EXPECT_EQ(figures.tokens_per_s, 0.0);
    EXPECT_EQ(percentiles_of(figures.inter_token_ms).p99, 0.0);
    EXPECT_TRUE(figures.stages.empty());
  }
}

TEST(BenchLoad, TellsTheStagesApart) {
  LoadRun run;
  run.answers = {answered(0, {900}), answered(1000, {1030, 1040}, 1), answered(1000, {1050}, 1)};
  run.answers[0].is_lead = true;
  run.answers[0].cached_tokens = 0;
  run.answers[1].cached_tokens = 8;
  const LoadFigures figures = summarize_load(std::vector{run});
  ASSERT_EQ(figures.stages.size(), 2U);
  EXPECT_DOUBLE_EQ(figures.stages[0].time_to_first_token_ms, 900.0);
  EXPECT_EQ(figures.stages[0].cached_tokens, 0.0);
  EXPECT_EQ(figures.stages[1].answered, 2);
  EXPECT_DOUBLE_EQ(figures.stages[1].time_to_first_token_ms, 40.0);
  EXPECT_EQ(figures.stages[1].cached_tokens, 8.0);
  EXPECT_EQ(figures.time_to_first_token_ms.size(), 2U);  // the lead is no ordinary request
  EXPECT_DOUBLE_EQ(figures.tokens_per_s, 3.0 / 0.05);
}

}  // namespace
}  // namespace mlxd
