#include "workbench/bench_load.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <numeric>
#include <system_error>
#include <thread>
#include <utility>

#include "base/mutex.h"

namespace mlxd {
namespace {

// Where the threads of a run leave their answers. Thread-safe.
class Answers {
 public:
  void add(std::vector<LoadAnswer>&& answers) {
    const MutexLock lock(mutex_);
    for (LoadAnswer& answer : answers) all_.push_back(std::move(answer));
  }
  std::vector<LoadAnswer> take() {
    const MutexLock lock(mutex_);
    return std::move(all_);
  }

 private:
  Mutex mutex_;
  std::vector<LoadAnswer> all_ GUARDED_BY(mutex_);
};

// Threads that are joined whatever happens.
class Crew {
 public:
  Crew() = default;
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  ~Crew() {
    for (std::thread& thread : threads_) thread.join();
  }
  Result<void> start(std::function<void()> work) {
    try {
      threads_.emplace_back(std::move(work));
    } catch (const std::system_error& error) {
      return Error(ErrorKind::kUnavailable, "the system gives no thread for client " +
                                                std::to_string(threads_.size() + 1) + ": " + error.what() +
                                                ": ask for fewer requests at once");
    }
    return {};
  }

 private:
  std::vector<std::thread> threads_;
};

std::vector<LoadAnswer> answer_task(BenchTarget& target, const WorkloadTask& task, const LoadOptions& options,
                                    std::int32_t first_stage) {
  const auto conversation = target.begin(task.texts.size() > 1);
  std::vector<LoadAnswer> answers;
  for (std::size_t turn = 0; turn < task.texts.size(); ++turn) {
    LoadAnswer answer;
    if (Clock::real().now() >= options.deadline)
      answer.failure = kBenchTimeIsUp;
    else
      static_cast<BenchAnswer&>(answer) =
          conversation->ask(task.texts[turn], options.tokens, options.deadline);
    answer.stage = first_stage + static_cast<std::int32_t>(turn);
    answers.push_back(std::move(answer));
    if (!answers.back().failure.empty()) break;
  }
  return answers;
}

double milliseconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

struct Mean {
  double sum = 0.0;
  std::int32_t count = 0;
  void add(double value) {
    sum += value;
    ++count;
  }
  double value() const { return count == 0 ? 0.0 : sum / count; }
};

struct Stage {
  std::vector<double> first_token_ms;
  Mean prompt_tokens, cached_tokens;
};

// Tokens and requests per second of a run, the lead aside; nothing if nothing was answered.
std::optional<std::pair<double, double>> rates_of(const LoadRun& run) {
  TimePoint begin = TimePoint::max(), end = TimePoint::min();
  std::int64_t tokens = 0, requests = 0;
  for (const LoadAnswer& answer : run.answers) {
    if (answer.is_lead || !answer.failure.empty() || answer.times.empty()) continue;
    begin = std::min(begin, answer.sent);
    end = std::max(end, answer.times.back());
    tokens += answer.completion_tokens;
    ++requests;
  }
  if (requests == 0) return std::nullopt;
  const double seconds = std::max(1e-9, milliseconds(begin, end) / 1000.0);
  return std::pair(static_cast<double>(tokens) / seconds, static_cast<double>(requests) / seconds);
}

}  // namespace

Result<LoadRun> run_load(BenchTarget& target, const Workload& workload, const LoadOptions& options) {
  LoadRun run;
  const std::optional<BenchDrafts> before = target.drafts();
  for (const WorkloadTask& task : workload.lead) {
    for (LoadAnswer& answer : answer_task(target, task, options, 0)) {
      answer.is_lead = true;
      run.answers.push_back(std::move(answer));
    }
  }

  Answers answers;
  const std::int32_t first_stage = workload.lead.empty() ? 0 : 1;
  std::atomic<std::size_t> next{0};
  {
    Crew crew;
    if (options.clients == 0) {
      const TimePoint begin = Clock::real().now();
      for (const WorkloadTask& task : workload.tasks) {
        const auto after =
            std::chrono::duration_cast<Duration>(std::chrono::duration<double>(task.arrival_s));
        std::this_thread::sleep_until(std::min(begin + after, options.deadline));
        TRY(crew.start([&] { answers.add(answer_task(target, task, options, first_stage)); }));
      }
    } else {
      const auto clients = std::min(static_cast<std::size_t>(options.clients), workload.tasks.size());
      for (std::size_t i = 0; i < clients; ++i) {
        TRY(crew.start([&] {
          for (;;) {
            const std::size_t index = next.fetch_add(1);
            if (index >= workload.tasks.size()) return;
            answers.add(answer_task(target, workload.tasks[index], options, first_stage));
          }
        }));
      }
    }
  }
  for (LoadAnswer& answer : answers.take()) run.answers.push_back(std::move(answer));
  if (const std::optional<BenchDrafts> after = target.drafts(); before && after)
    run.drafts = {after->drafted - before->drafted, after->accepted - before->accepted};
  return run;
}

LoadFigures summarize_load(std::span<const LoadRun> runs) {
  LoadFigures figures;
  std::vector<double> token_rates, request_rates;
  std::map<std::int32_t, Stage> stages;
  Mean prompt_tokens, completion_tokens;
  for (const LoadRun& run : runs) {
    if (run.drafts) {
      if (!figures.drafts) figures.drafts.emplace();
      figures.drafts->drafted += run.drafts->drafted;
      figures.drafts->accepted += run.drafts->accepted;
    }
    if (const auto rates = rates_of(run)) {
      token_rates.push_back(rates->first);
      request_rates.push_back(rates->second);
    }
    for (const LoadAnswer& answer : run.answers) {
      if (!answer.failure.empty()) {
        ++figures.failures[answer.failure];
        continue;
      }
      ++figures.answered;
      if (answer.times.empty()) continue;
      const double first_ms = milliseconds(answer.sent, answer.times.front());
      Stage& stage = stages[answer.stage];
      stage.first_token_ms.push_back(first_ms);
      stage.prompt_tokens.add(answer.prompt_tokens);
      if (answer.cached_tokens) stage.cached_tokens.add(*answer.cached_tokens);
      if (answer.is_lead) continue;
      prompt_tokens.add(answer.prompt_tokens);
      completion_tokens.add(answer.completion_tokens);
      figures.time_to_first_token_ms.push_back(first_ms);
      for (std::size_t i = 1; i < answer.times.size(); ++i)
        figures.inter_token_ms.push_back(milliseconds(answer.times[i - 1], answer.times[i]));
    }
  }
  figures.tokens_per_s = percentile(token_rates, 0.5);
  figures.requests_per_s = percentile(request_rates, 0.5);
  if (figures.tokens_per_s > 0.0) {
    const auto [low, high] = std::minmax_element(token_rates.begin(), token_rates.end());
    figures.tokens_per_s_spread = (*high - *low) / 2.0 / figures.tokens_per_s;
  }
  figures.prompt_tokens = prompt_tokens.value();
  figures.completion_tokens = completion_tokens.value();
  for (const auto& [number, stage] : stages) {
    StageFigures made;
    made.stage = number;
    made.answered = stage.prompt_tokens.count;
    made.time_to_first_token_ms = percentile(stage.first_token_ms, 0.5);
    made.prompt_tokens = stage.prompt_tokens.value();
    if (stage.cached_tokens.count > 0) made.cached_tokens = stage.cached_tokens.value();
    figures.stages.push_back(made);
  }
  return figures;
}

std::int32_t num_failed(const LoadFigures& figures) {
  return std::accumulate(figures.failures.begin(), figures.failures.end(), 0,
                         [](std::int32_t sum, const auto& entry) { return sum + entry.second; });
}

}  // namespace mlxd
