#include "server/key_meter.h"

#include <algorithm>

namespace mlxd {
namespace {

constexpr std::chrono::minutes kWindow{1};

int seconds_until(TimePoint then, TimePoint now) {
  return static_cast<int>(
      std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(then - now).count()));
}

std::int64_t month_start(std::int64_t month) {
  using namespace std::chrono;
  const year_month_day first{year(static_cast<int>(month / 12)),
                             std::chrono::month(static_cast<unsigned>(month % 12 + 1)), day(1)};
  return duration_cast<seconds>(sys_days(first).time_since_epoch()).count();
}

KeyMeter::Refusal refuse(const ApiKey& key, const std::string& what, int retry_after_s) {
  return {Error(ErrorKind::kOverloaded, "the key '" + key.name + "' (" + key.hint + "…) may " + what +
                                            ": try again in " + std::to_string(retry_after_s) + " s"),
          retry_after_s};
}

}  // namespace

std::int64_t month_of(std::int64_t wall_seconds) {
  using namespace std::chrono;
  const year_month_day date{floor<days>(sys_seconds(seconds(wall_seconds)))};
  return static_cast<std::int64_t>(static_cast<int>(date.year())) * 12 + static_cast<unsigned>(date.month()) -
         1;
}

KeyUse::~KeyUse() { meter_.release(key_id_); }

void KeyUse::note(std::int64_t prompt_tokens, std::int64_t completion_tokens) const {
  meter_.note(key_id_, prompt_tokens, completion_tokens);
}

void KeyMeter::drop_old(State& state, TimePoint now) const {
  while (!state.requests.empty() && now - state.requests.front() >= kWindow) state.requests.pop_front();
  while (!state.tokens.empty() && now - state.tokens.front().first >= kWindow) {
    state.minute_tokens -= state.tokens.front().second;
    state.tokens.pop_front();
  }
}

void KeyMeter::start_month(State& state, const std::string& key_id) {
  const std::int64_t month = month_of(clock_.wall_seconds());
  if (state.month == month) return;
  if (state.unsaved.requests > 0 || state.unsaved.prompt_tokens > 0 || state.unsaved.completion_tokens > 0)
    finished_.push_back(state.unsaved);
  state.month = month;
  state.unsaved = {.key_id = key_id, .month = month};
}

std::shared_ptr<KeyUse> KeyMeter::admit(const ApiKey& key, Refusal& refusal) {
  const TimePoint now = clock_.now();
  {
    const MutexLock lock(mutex_);
    State& state = states_[key.id];
    drop_old(state, now);
    start_month(state, key.id);
    if (key.max_concurrent > 0 && state.running >= key.max_concurrent) {
      refusal = refuse(key, "have " + std::to_string(key.max_concurrent) + " requests at once", 1);
      return nullptr;
    }
    if (key.requests_per_minute > 0 && std::ssize(state.requests) >= key.requests_per_minute) {
      const auto oldest = state.requests.end() - static_cast<std::ptrdiff_t>(key.requests_per_minute);
      refusal = refuse(key, "make " + std::to_string(key.requests_per_minute) + " requests a minute",
                       seconds_until(*oldest + kWindow, now));
      return nullptr;
    }
    if (key.tokens_per_minute > 0 && state.minute_tokens >= key.tokens_per_minute) {
      // When enough of the window's tokens are a minute old.
      std::int64_t left = state.minute_tokens;
      TimePoint free_at = now;
      for (const auto& [time, count] : state.tokens) {
        left -= count;
        free_at = time + kWindow;
        if (left < key.tokens_per_minute) break;
      }
      refusal = refuse(key, "use " + std::to_string(key.tokens_per_minute) + " tokens a minute",
                       seconds_until(free_at, now));
      return nullptr;
    }
    if (key.tokens_per_month > 0 && state.month_tokens[state.month] >= key.tokens_per_month) {
      const std::int64_t wait = month_start(state.month + 1) - clock_.wall_seconds();
      refusal = refuse(key, "use " + std::to_string(key.tokens_per_month) + " tokens a month",
                       static_cast<int>(std::max<std::int64_t>(1, wait)));
      return nullptr;
    }
    ++state.running;
    if (key.requests_per_minute > 0) state.requests.push_back(now);
    ++state.unsaved.requests;
  }
  return std::make_shared<KeyUse>(*this, key.id);
}

void KeyMeter::release(const std::string& key_id) {
  const MutexLock lock(mutex_);
  const auto state = states_.find(key_id);
  if (state != states_.end() && state->second.running > 0) --state->second.running;
}

void KeyMeter::note(const std::string& key_id, std::int64_t prompt_tokens, std::int64_t completion_tokens) {
  const TimePoint now = clock_.now();
  const MutexLock lock(mutex_);
  const auto found = states_.find(key_id);
  if (found == states_.end()) return;
  State& state = found->second;
  drop_old(state, now);
  start_month(state, key_id);
  const std::int64_t tokens = prompt_tokens + completion_tokens;
  state.tokens.emplace_back(now, tokens);
  state.minute_tokens += tokens;
  state.month_tokens[state.month] += tokens;
  state.unsaved.prompt_tokens += prompt_tokens;
  state.unsaved.completion_tokens += completion_tokens;
}

void KeyMeter::load(const std::vector<KeyUsage>& usage) {
  const std::int64_t month = month_of(clock_.wall_seconds());
  const MutexLock lock(mutex_);
  for (const KeyUsage& each : usage) {
    State& state = states_[each.key_id];
    state.month = month;
    state.month_tokens[each.month] = each.prompt_tokens + each.completion_tokens;
    state.unsaved = {.key_id = each.key_id, .month = month};
  }
}

std::vector<KeyUsage> KeyMeter::take_unsaved() {
  const MutexLock lock(mutex_);
  std::vector<KeyUsage> unsaved;
  std::swap(unsaved, finished_);
  for (auto& [id, state] : states_) {
    if (state.unsaved.requests == 0 && state.unsaved.prompt_tokens == 0 &&
        state.unsaved.completion_tokens == 0)
      continue;
    unsaved.push_back(state.unsaved);
    state.unsaved = {.key_id = id, .month = state.month};
  }
  return unsaved;
}

void KeyMeter::put_back(const std::vector<KeyUsage>& unsaved) {
  const MutexLock lock(mutex_);
  finished_.insert(finished_.end(), unsaved.begin(), unsaved.end());
}

bool KeyMeter::has_unsaved() const {
  const MutexLock lock(mutex_);
  return !finished_.empty() || std::any_of(states_.begin(), states_.end(), [](const auto& entry) {
    const KeyUsage& unsaved = entry.second.unsaved;
    return unsaved.requests > 0 || unsaved.prompt_tokens > 0 || unsaved.completion_tokens > 0;
  });
}

void KeyMeter::forget(const std::string& key_id) {
  const MutexLock lock(mutex_);
  states_.erase(key_id);
}

}  // namespace mlxd
