#include "workbench/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/mutex.h"
#include "engine/step_batch.h"

namespace mlxd {
namespace {

constexpr std::chrono::milliseconds kPollInterval{1000};  // how soon a failed request is noticed
constexpr std::chrono::milliseconds kStopInterval{200};   // and how soon the wish to stop
constexpr std::chrono::minutes kLongestSilence{2};        // without any step: something is wrong
constexpr std::int32_t kWarmUpTokens = 8;
constexpr int kMostTries = 20;  // of streams that are to run at the same time

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

// Notes when each stream had news, on the engine's thread. The window opens when every stream has had its
// first token and closes when each has had `tokens` more; only then is the waiting thread woken, so that it
// takes no processor from the measured ones. Thread-safe.
class StepClock : public StreamWaker {
 public:
  /// `profile` may be null.
  StepClock(std::size_t num_streams, std::size_t tokens, const StepProfile* profile)
      : num_streams_(num_streams), tokens_(tokens), profile_(profile) {
    times_.reserve(num_streams);
  }

  void wake(std::span<const std::uint64_t> stream_ids) override {
    const TimePoint now = Clock::real().now();
    bool closes = false;
    {
      const MutexLock lock(mutex_);
      ++num_steps_;
      if (closed_) return;
      const bool was_open = is_open_;
      for (const std::uint64_t id : stream_ids) note(id, now);
      closes = closed_;
      if (profile_ != nullptr && is_open_ && !was_open) steps_until_open_ = profile_->totals();
      if (profile_ != nullptr && closes) steps_until_closed_ = profile_->totals();
    }
    if (closes) changed_.notify_one();
  }

  /// True once the window has closed, false if it has not after `interval`.
  bool wait_closed(Duration interval) {
    const TimePoint deadline = Clock::real().now() + interval;
    const MutexLock lock(mutex_);
    while (!closed_)
      if (!changed_.wait_until(mutex_, deadline)) return closed_;
    return true;
  }
  std::uint64_t num_steps() {
    const MutexLock lock(mutex_);
    return num_steps_;
  }
  TimePoint window_begin() {
    const MutexLock lock(mutex_);
    return begin_;
  }
  /// What the profile had when the window opened and closed.
  StepTotals steps_until_open() {
    const MutexLock lock(mutex_);
    return steps_until_open_;
  }
  StepTotals steps_until_closed() {
    const MutexLock lock(mutex_);
    return steps_until_closed_;
  }
  /// When each of a stream's tokens came, up to the window's end.
  std::vector<TimePoint> times_of(std::uint64_t id) {
    const MutexLock lock(mutex_);
    const auto found = times_.find(id);
    return found == times_.end() ? std::vector<TimePoint>() : found->second.all;
  }

 private:
  struct Times {
    std::vector<TimePoint> all;
    std::size_t in_window = 0;
  };

  void note(std::uint64_t id, TimePoint now) REQUIRES(mutex_) {
    Times& times = times_[id];
    if (times.all.empty()) times.all.reserve(tokens_ * 2 + 64);
    times.all.push_back(now);
    if (times.all.size() == 1) {
      if (++num_started_ == num_streams_) {
        begin_ = now;
        is_open_ = true;
        closed_ = tokens_ == 0;
      }
    } else if (is_open_ && now > begin_ && ++times.in_window == tokens_) {
      closed_ = ++num_done_ == num_streams_;
    }
  }

  const std::size_t num_streams_;
  const std::size_t tokens_;
  const StepProfile* const profile_;
  Mutex mutex_;
  CondVar changed_;
  std::unordered_map<std::uint64_t, Times> times_ GUARDED_BY(mutex_);
  StepTotals steps_until_open_ GUARDED_BY(mutex_), steps_until_closed_ GUARDED_BY(mutex_);
  TimePoint begin_ GUARDED_BY(mutex_){};
  std::size_t num_started_ GUARDED_BY(mutex_) = 0;
  std::size_t num_done_ GUARDED_BY(mutex_) = 0;
  std::uint64_t num_steps_ GUARDED_BY(mutex_) = 0;
  bool is_open_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
};

struct Stream {
  GenerationStream stream;
  TimePoint submitted;
};

struct Measured {
  std::vector<double> prefill_rates, decode_rates, first_token_ms, gaps_ms;
  StepTotals prefill_steps, decode_steps;
  std::uint64_t drafted_tokens = 0, accepted_tokens = 0;
};

// Tokens that the first streams may make while the last ones are still prefilling, generously.
std::int32_t spare_tokens(const BenchPlan& plan, std::int32_t concurrency) {
  return concurrency == 1
             ? 2
             : static_cast<std::int32_t>(std::int64_t{concurrency} * plan.prompt_tokens / 128) + 16;
}

/// How many of the streams have ended since they were last looked at. Errors: the streams'.
Result<std::size_t> take_ends(std::vector<Stream>& streams) {
  std::vector<TokenEvent> events;
  for (Stream& stream : streams) stream.stream.take_events(events);
  std::size_t num_ended = 0;
  for (const TokenEvent& event : events) {
    if (event.error) return *event.error;
    if (event.finish) ++num_ended;
  }
  return num_ended;
}

/// False if all streams have ended and the window is not closed: some made all their tokens before others had
/// begun. `stop` may be null.
Result<bool> wait_for(StepClock& clock, std::vector<Stream>& streams, const std::atomic<bool>* stop) {
  std::uint64_t steps_seen = 0;
  std::size_t num_ended = 0;
  TimePoint last_step = Clock::real().now();
  while (!clock.wait_closed(stop == nullptr ? kPollInterval : kStopInterval)) {
    num_ended += TRY(take_ends(streams));
    if (num_ended == streams.size()) return clock.wait_closed(Duration::zero());
    if (stop != nullptr && *stop) return Error(ErrorKind::kCancelled, "stopped");
    const std::uint64_t steps = clock.num_steps();
    if (steps != steps_seen) last_step = Clock::real().now();
    steps_seen = steps;
    if (Clock::real().now() - last_step >= kLongestSilence)
      return Error(ErrorKind::kTimeout, "the engine made no token for two minutes");
  }
  TRY(take_ends(streams));
  return true;
}

class Bench {
 public:
  Bench(const ModelHost& host, const BenchPlan& plan, const std::atomic<bool>* stop)
      : engine_(host.engine()),
        limits_(host.limits()),
        profile_(host.profile()),
        plan_(plan),
        stop_(stop),
        random_(plan.seed) {}

  Result<void> measure_prefill(std::int32_t concurrency, Measured& measured) {
    TRY(settle());
    StepClock clock(static_cast<std::size_t>(concurrency), 0, profile_);
    const StepTotals before = profile_ != nullptr ? profile_->totals() : StepTotals{};
    std::vector<Stream> streams = TRY(submit(concurrency, 1, clock));
    TRY(wait_for(clock, streams, stop_));
    const double seconds = seconds_between(streams.front().submitted, clock.window_begin());
    measured.prefill_rates.push_back(static_cast<double>(concurrency) * plan_.prompt_tokens / seconds);
    measured.prefill_steps += clock.steps_until_closed();
    measured.prefill_steps -= before;
    return {};
  }

  Result<void> measure_decode(std::int32_t concurrency, std::int32_t tokens, Measured& measured) {
    TRY(settle());
    std::int32_t most_tokens = tokens + 1 + spare_tokens(plan_, concurrency);
    for (int i = 0; i < kMostTries; ++i) {
      if (TRY(try_decode(concurrency, tokens, most_tokens, measured))) return {};
      most_tokens =
          std::max(most_tokens, std::min(2 * most_tokens, limits_.context_tokens - plan_.prompt_tokens));
    }
    return Error(
        ErrorKind::kUnavailable,
        "of " + std::to_string(concurrency) +
            " streams some ended each time before others had begun: ask for more tokens or fewer streams");
  }

 private:
  // False, and nothing measured, if streams ended before all had begun.
  Result<bool> try_decode(std::int32_t concurrency, std::int32_t tokens, std::int32_t most_tokens,
                          Measured& measured) {
    StepClock clock(static_cast<std::size_t>(concurrency), static_cast<std::size_t>(tokens), profile_);
    const EngineStats before = engine_.stats();
    std::vector<Stream> streams = TRY(submit(concurrency, most_tokens, clock));
    if (!TRY(wait_for(clock, streams, stop_))) return false;

    const TimePoint begin = clock.window_begin();
    TimePoint end = begin;
    std::int64_t num_tokens = 0;
    for (const Stream& stream : streams) {
      const auto times = clock.times_of(stream.stream.id());
      measured.first_token_ms.push_back(seconds_between(stream.submitted, times.front()) * 1000.0);
      for (auto at = std::upper_bound(times.begin(), times.end(), begin); at != times.end(); ++at) {
        ++num_tokens;
        measured.gaps_ms.push_back(seconds_between(*(at - 1), *at) * 1000.0);
      }
      end = std::max(end, times.back());
    }
    measured.decode_rates.push_back(static_cast<double>(num_tokens) / seconds_between(begin, end));
    measured.decode_steps += clock.steps_until_closed();
    measured.decode_steps -= clock.steps_until_open();
    const EngineStats after = engine_.stats();
    measured.drafted_tokens += after.drafted_tokens - before.drafted_tokens;
    measured.accepted_tokens += after.accepted_tokens - before.accepted_tokens;
    return true;
  }

  // Streams that were dropped before may still be in a step; a short request comes after them.
  Result<void> settle() {
    StepClock clock(1, 0, nullptr);
    std::vector<Stream> streams;
    streams.push_back({TRY(engine_.submit(TRY(make_request(1, 1, 0)), &clock)), Clock::real().now()});
    TRY(wait_for(clock, streams, stop_));
    return {};
  }

  // `clock` must outlive the streams.
  Result<std::vector<Stream>> submit(std::int32_t concurrency, std::int32_t max_tokens, StepClock& clock) {
    std::vector<GenerationRequest> requests;  // made before the clock runs
    for (std::int32_t i = 0; i < concurrency; ++i)
      requests.push_back(TRY(make_request(plan_.prompt_tokens, max_tokens, i)));
    std::vector<Stream> streams;
    for (GenerationRequest& request : requests) {
      const TimePoint now = Clock::real().now();
      streams.push_back({TRY(engine_.submit(std::move(request), &clock)), now});
    }
    return streams;
  }

  // Of random tokens, without end tokens.
  Result<GenerationRequest> make_request(std::int32_t prompt_tokens, std::int32_t max_tokens,
                                         std::int32_t stream) {
    std::uniform_int_distribution<TokenId> any_token(0, limits_.vocab_size - 1);
    GenerationRequest::Fields fields;
    fields.prompt.resize(static_cast<std::size_t>(prompt_tokens));
    for (TokenId& token : fields.prompt) token = any_token(random_);
    fields.sampling.temperature = plan_.temperature;
    fields.sampling.seed = plan_.seed + static_cast<std::uint64_t>(stream);
    fields.max_tokens = max_tokens;
    return GenerationRequest::create(std::move(fields), limits_);
  }

  EngineThread& engine_;
  const GenerationLimits limits_;
  const StepProfile* const profile_;  // or null
  const BenchPlan& plan_;
  const std::atomic<bool>* const stop_;  // or null
  std::mt19937_64 random_;
};

}  // namespace

std::int64_t kv_tokens_needed(const BenchPlan& plan) {
  std::int64_t most = 0;
  for (const std::int32_t concurrency : plan.concurrency) {
    const std::int64_t tokens =
        std::int64_t{plan.prompt_tokens} + plan.tokens + 1 + spare_tokens(plan, concurrency);
    most = std::max(most, concurrency * ((tokens + kPageTokens - 1) / kPageTokens + 1));
  }
  return (most + most / 16 + 1) * kPageTokens;
}

Result<std::vector<BenchResult>> run_bench(const ModelHost& host, const BenchPlan& plan,
                                           const BenchWatch& watch) {
  const GenerationLimits limits = host.limits();
  for (const std::int32_t concurrency : plan.concurrency) {
    const std::int64_t needed =
        std::int64_t{plan.prompt_tokens} + plan.tokens + 1 + spare_tokens(plan, concurrency);
    if (needed > limits.context_tokens)
      return invalid_argument("measuring " + std::to_string(plan.prompt_tokens) + " + " +
                              std::to_string(plan.tokens) + " tokens in " + std::to_string(concurrency) +
                              " streams takes a context of " + std::to_string(needed) +
                              " tokens, the model has " + std::to_string(limits.context_tokens) +
                              ": ask for fewer");
  }

  Bench bench(host, plan, watch.stop);
  Measured discarded;
  const std::int32_t most = *std::max_element(plan.concurrency.begin(), plan.concurrency.end());
  TRY(bench.measure_decode(most, std::min(plan.tokens, kWarmUpTokens), discarded));

  std::vector<Measured> measured(plan.concurrency.size());
  const auto total = static_cast<double>(plan.rounds) * static_cast<double>(plan.concurrency.size());
  double finished = 0.0;
  for (std::int32_t round = 0; round < plan.rounds; ++round) {
    for (std::size_t i = 0; i < plan.concurrency.size(); ++i) {
      if (watch.on_progress) watch.on_progress(finished / total);
      TRY(bench.measure_prefill(plan.concurrency[i], measured[i]));
      TRY(bench.measure_decode(plan.concurrency[i], plan.tokens, measured[i]));
      finished += 1.0;
      if (watch.on_round) {
        watch.on_round({.round = round + 1,
                        .concurrency = plan.concurrency[i],
                        .prefill_tokens_per_s = measured[i].prefill_rates.back(),
                        .decode_tokens_per_s = measured[i].decode_rates.back()});
      }
    }
  }

  std::vector<BenchResult> results;
  for (std::size_t i = 0; i < plan.concurrency.size(); ++i) {
    BenchResult result;
    result.concurrency = plan.concurrency[i];
    result.prefill_tokens_per_s = percentile(measured[i].prefill_rates, 0.5);
    result.decode_tokens_per_s = percentile(measured[i].decode_rates, 0.5);
    result.decode_tokens_per_s_per_stream = result.decode_tokens_per_s / result.concurrency;
    result.time_to_first_token_ms = percentiles_of(measured[i].first_token_ms);
    result.inter_token_latency_ms = percentiles_of(measured[i].gaps_ms);
    result.prefill_steps = measured[i].prefill_steps;
    result.decode_steps = measured[i].decode_steps;
    result.drafted_tokens = measured[i].drafted_tokens;
    result.accepted_tokens = measured[i].accepted_tokens;
    results.push_back(result);
  }
  return results;
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  const double at = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(at));
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (at - static_cast<double>(below));
}

BenchPercentiles percentiles_of(const std::vector<double>& values) {
  return {percentile(values, 0.5), percentile(values, 0.9), percentile(values, 0.99)};
}

}  // namespace mlxd
