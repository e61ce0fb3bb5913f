#include "workbench/bench_engine_target.h"

#include <algorithm>
#include <utility>

#include "base/mutex.h"

namespace mlxd {
namespace {

constexpr std::chrono::milliseconds kPollInterval{500};  // how soon a failed request is noticed
constexpr std::uint64_t kSeed = 1;                       // of draws: equal texts get equal answers

// Notes on the engine's thread when each token of one request came, and wakes the waiting client only after
// the last, so that clients take no processor from what is measured. Thread-safe.
class TokenTimes : public StreamWaker {
 public:
  explicit TokenTimes(std::int32_t tokens) : tokens_(static_cast<std::size_t>(tokens)) {
    times_.reserve(tokens_);
  }

  void wake(std::span<const std::uint64_t> stream_ids) override {
    const TimePoint now = Clock::real().now();
    bool is_last = false;
    {
      const MutexLock lock(mutex_);
      const std::size_t left = tokens_ - std::min(tokens_, times_.size());
      times_.insert(times_.end(), std::min(stream_ids.size(), left), now);
      is_last = left > 0 && times_.size() == tokens_;
    }
    if (is_last) complete_.notify_one();
  }

  /// True once the last token has come, false if it has not by then.
  bool wait_complete(TimePoint until) {
    const MutexLock lock(mutex_);
    while (times_.size() < tokens_)
      if (!complete_.wait_until(mutex_, until)) return times_.size() >= tokens_;
    return true;
  }
  std::vector<TimePoint> times() {
    const MutexLock lock(mutex_);
    return times_;
  }

 private:
  const std::size_t tokens_;
  Mutex mutex_;
  CondVar complete_;
  std::vector<TimePoint> times_ GUARDED_BY(mutex_);
};

class EngineConversation : public BenchConversation {
 public:
  EngineConversation(const ModelHost& model, const GenerationLimits& limits, float temperature)
      : model_(model), limits_(limits), temperature_(temperature) {}

  BenchAnswer ask(const std::string& text, std::int32_t max_tokens, TimePoint deadline) override {
    BenchAnswer answer;
    const auto asked = try_ask(text, max_tokens, deadline, answer);
    if (!asked) answer.failure = asked.error().message;
    return answer;
  }

 private:
  Result<void> try_ask(const std::string& text, std::int32_t max_tokens, TimePoint deadline,
                       BenchAnswer& answer) {
    const std::vector<TokenId> added =
        TRY(model_.tokenizer().encode(tokens_.empty() ? text : "\n\n" + text, tokens_.empty()));
    tokens_.insert(tokens_.end(), added.begin(), added.end());
    GenerationRequest::Fields fields;
    fields.prompt = tokens_;
    fields.sampling.temperature = temperature_;
    fields.sampling.seed = kSeed;
    fields.max_tokens = max_tokens;
    GenerationRequest request = TRY(GenerationRequest::create(std::move(fields), limits_));
    answer.prompt_tokens = static_cast<std::int32_t>(tokens_.size());

    TokenTimes times(request.max_tokens());  // before the stream, which may still wake it
    std::vector<TokenEvent> events;
    answer.sent = Clock::real().now();
    GenerationStream stream = TRY(model_.engine().submit(std::move(request), &times));
    bool is_complete = false;
    while (!is_complete) {
      const TimePoint now = Clock::real().now();
      if (now >= deadline) return Error(ErrorKind::kTimeout, kBenchTimeIsUp);
      is_complete = times.wait_complete(std::min(deadline, now + kPollInterval));
      if (!stream.take_events(events)) is_complete = true;
      for (const TokenEvent& event : events)
        if (event.error) return *event.error;
    }
    for (const TokenEvent& event : events) {
      if (event.cache) answer.cached_tokens = event.cache->cached_tokens;
      if (event.token == kNoToken) continue;
      tokens_.push_back(event.token);
      ++answer.completion_tokens;
    }
    answer.times = times.times();
    return {};
  }

  const ModelHost& model_;
  const GenerationLimits& limits_;
  const float temperature_;
  std::vector<TokenId> tokens_;
};

}  // namespace

std::unique_ptr<BenchConversation> BenchEngineTarget::begin(bool /*is_chat*/) {
  return std::make_unique<EngineConversation>(model_, limits_, temperature_);
}

std::optional<BenchDrafts> BenchEngineTarget::drafts() const {
  const EngineStats stats = model_.engine().stats();
  return BenchDrafts{stats.drafted_tokens, stats.accepted_tokens};
}

}  // namespace mlxd
