#include "engine/scheduler.h"

#include <algorithm>
#include <string>

#include "base/check.h"

namespace mlxd {

Scheduler::Scheduler(PagePool& pool, Options options) : pool_(pool), options_(options) {
  CHECK(options_.max_running >= 1 && options_.max_running <= options_.step_token_budget);
  const auto most = static_cast<std::size_t>(options_.max_running);
  running_.reserve(most);
  chunks_.reserve(most);
  newly_started_.reserve(most);
}

void Scheduler::add(Sequence& sequence) { waiting_.push_back(&sequence); }

void Scheduler::remove(Sequence& sequence) {
  sequence.release_pages(pool_);
  const auto running = std::find_if(running_.begin(), running_.end(),
                                    [&](const Running& r) { return r.sequence == &sequence; });
  if (running != running_.end()) {
    running_.erase(running);
    return;
  }
  const auto waiting = std::find(waiting_.begin(), waiting_.end(), &sequence);
  CHECK(waiting != waiting_.end());
  waiting_.erase(waiting);
}

std::span<const ScheduledChunk> Scheduler::schedule() {
  budget_left_ = options_.step_token_budget;
  preempted_in_step_ = false;
  newly_started_.clear();
  for (Running& running : running_) running.planned = 0;
  schedule_decodes();
  schedule_prefills();
  admit();
  emit_plan();
  return chunks_;
}

void Scheduler::schedule_decodes() {
  // running_ may shrink from its end while this goes on: make_room displaces the newest.
  for (std::size_t i = 0; i < running_.size(); ++i) {
    if (running_[i].sequence->num_remaining() == 1 && make_room(i, 1)) plan(running_[i], 1);
  }
}

void Scheduler::schedule_prefills() {
  for (std::size_t i = 0; i < running_.size() && budget_left_ > 0; ++i) {
    const std::int32_t remaining = running_[i].sequence->num_remaining();
    if (remaining == 1) continue;
    const std::int32_t chunk = std::min(remaining, budget_left_);
    if (make_room(i, chunk)) plan(running_[i], chunk);
  }
}

void Scheduler::admit() {
  // Whoever was just displaced would be let in again at once, to be displaced again.
  if (preempted_in_step_) return;
  while (!waiting_.empty() && budget_left_ > 0 && num_running() < options_.max_running) {
    Sequence& sequence = *waiting_.front();
    // One more than the known tokens, so that its first own token does not displace it.
    const std::int32_t needed = std::min(pages_for_tokens(sequence.num_tokens() + 1), pool_.num_pages());
    if (needed > pool_.num_free() - pages_spoken_for()) return;
    waiting_.pop_front();
    if (sequence.start()) newly_started_.push_back(&sequence);
    running_.push_back({&sequence, 0});
    const std::int32_t chunk = std::min(sequence.num_remaining(), budget_left_);
    CHECK(sequence.try_take_pages(pool_, chunk));
    plan(running_.back(), chunk);
  }
}

// Decodes first, so that a backend finds rows of one token side by side.
void Scheduler::emit_plan() {
  chunks_.clear();
  for (const Running& running : running_) {
    if (running.planned == 1) chunks_.push_back({running.sequence, 1});
  }
  for (const Running& running : running_) {
    if (running.planned > 1) chunks_.push_back({running.sequence, running.planned});
  }
}

void Scheduler::plan(Running& running, std::int32_t num_tokens) {
  CHECK(num_tokens <= budget_left_);
  running.planned = num_tokens;
  budget_left_ -= num_tokens;
}

// Takes the pages for the next `num_tokens` tokens of running_[index], displacing newer sequences as needed.
// False if it has to sit this step out: displaced itself while decoding, or, in the middle of a prefill, left
// to wait for older sequences to finish.
bool Scheduler::make_room(std::size_t index, std::int32_t num_tokens) {
  Sequence& sequence = *running_[index].sequence;
  while (!sequence.try_take_pages(pool_, sequence.num_computed() + num_tokens)) {
    const bool is_newest = index + 1 == running_.size();
    if (is_newest && sequence.num_remaining() > 1) return false;
    preempt_newest();
    if (is_newest) return false;
  }
  return true;
}

void Scheduler::preempt_newest() {
  Running& newest = running_.back();
  budget_left_ += newest.planned;
  newest.sequence->release_pages(pool_);
  waiting_.push_front(newest.sequence);
  running_.pop_back();
  preempted_in_step_ = true;
  ++num_preemptions_;
}

// Free pages that running sequences will take for tokens already known and for the one after.
std::int32_t Scheduler::pages_spoken_for() const {
  std::int32_t pages = 0;
  for (const Running& running : running_) {
    const Sequence& sequence = *running.sequence;
    pages += std::max(
        0, pages_for_tokens(sequence.num_tokens() + 1) - static_cast<std::int32_t>(sequence.pages().size()));
  }
  return pages;
}

Result<void> Scheduler::check_integrity() const {
  const auto wrong = [](const Sequence& sequence, const std::string& what) {
    return Error(ErrorKind::kInternal, "sequence " + std::to_string(sequence.id()) + " " + what);
  };
  std::vector<std::int32_t> holders(static_cast<std::size_t>(pool_.num_pages()), 0);
  const Sequence* previous = nullptr;
  const auto check_order = [&](const Sequence& sequence) {
    const bool in_order = previous == nullptr || previous->arrival() < sequence.arrival();
    previous = &sequence;
    return in_order;
  };
  for (const Running& running : running_) {
    const Sequence& sequence = *running.sequence;
    if (!check_order(sequence)) return wrong(sequence, "runs out of order of arrival");
    if (sequence.num_remaining() < 1) return wrong(sequence, "runs with nothing to compute");
    if (static_cast<std::size_t>(pages_for_tokens(sequence.num_computed())) > sequence.pages().size())
      return wrong(sequence, "has computed tokens without a page");
    for (const PageId page : sequence.pages()) ++holders[page];
  }
  for (const Sequence* sequence : waiting_) {
    if (!check_order(*sequence)) return wrong(*sequence, "waits out of order of arrival");
    if (!sequence->pages().empty() || sequence->num_computed() != 0)
      return wrong(*sequence, "waits with pages");
  }
  if (num_running() > options_.max_running)
    return Error(ErrorKind::kInternal, std::to_string(num_running()) + " sequences run");
  return pool_.check_integrity(holders);
}

}  // namespace mlxd
