#include "engine/scheduler.h"

#include <algorithm>
#include <string>

#include "base/check.h"

namespace mlxd {
namespace {

// Of those that wait for a prefix being computed; each costs a look into the cache, and a crowd of equal
// prompts may wait.
constexpr std::int32_t kMostPassedOver = 32;
// Of a wave. More gain little and make those who come meanwhile wait.
constexpr std::int32_t kMostSlicedTokens = 256;

bool by_arrival(const Sequence* a, const Sequence* b) { return a->arrival() < b->arrival(); }

/// A wave leaves room beside it for as many decodes as there may ever be.
StepPacer::Options pacer_options(const Scheduler::Options& options) {
  return {.step_token_budget = options.step_token_budget,
          .gap_ratio = options.gap_ratio,
          .num_layers = std::max(1, options.num_layers),
          .most_sliced_tokens = std::min(kMostSlicedTokens, options.step_token_budget - options.max_running),
          .piece_tokens = options.piece_tokens};
}

std::int32_t common_tokens(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto most = static_cast<std::ptrdiff_t>(std::min(a.size(), b.size()));
  return static_cast<std::int32_t>(std::mismatch(a.begin(), a.begin() + most, b.begin()).first - a.begin());
}

}  // namespace

Scheduler::Scheduler(KvCache& cache, Options options)
    : cache_(cache), options_(options), pacer_(pacer_options(options)) {
  CHECK(options_.max_running >= 1 && options_.max_running <= options_.step_token_budget);
  const auto most = static_cast<std::size_t>(options_.max_running);
  running_.reserve(most);
  wave_.reserve(most);
  chunks_.reserve(most);
  newly_started_.reserve(most);
  prefilling_.reserve(most);
  line_.reserve(most);
}

void Scheduler::add(Sequence& sequence) {
  shares_.join(sequence.request().client());
  put_in_line(sequence);
}

void Scheduler::put_in_line(Sequence& sequence) {
  waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), &sequence, by_arrival), &sequence);
}

void Scheduler::remove(Sequence& sequence) {
  shares_.leave(sequence.request().client());
  if (Running* const running = find_running(sequence); running != nullptr) {
    leave_wave(sequence);
    sequence.stop(cache_);
    running_.erase(running_.begin() + (running - running_.data()));
    return;
  }
  const auto waiting = std::find(waiting_.begin(), waiting_.end(), &sequence);
  CHECK(waiting != waiting_.end());
  waiting_.erase(waiting);
}

Scheduler::Running* Scheduler::find_running(const Sequence& sequence) {
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [&](const Running& running) { return running.sequence == &sequence; });
  return found == running_.end() ? nullptr : &*found;
}

Scheduler::Rank Scheduler::rank(const Sequence& sequence) const {
  return {sequence.level(now_), shares_.served(sequence.request().client()), sequence.arrival()};
}

std::span<const ScheduledChunk> Scheduler::schedule(TimePoint now) {
  now_ = now;
  budget_left_ = options_.step_token_budget;
  preempted_in_step_ = false;
  layers_ = {};
  newly_started_.clear();
  for (Running& running : running_) {
    running.planned = running.drafts = 0;
    running.level = running.sequence->level(now_);
  }
  schedule_decodes();
  admit();
  schedule_prefills();
  schedule_drafts();
  emit_plan();
  return chunks_;
}

// Drafts are verified only where nothing prefills. Such a step takes longer than its decodes would alone.
void Scheduler::observe(double seconds) {
  if (num_drafts_ == 0) {
    pacer_.observe(num_decoding_, prefill_, seconds);
  } else {
    pacer_.observe_at_most(num_decoding_, seconds);
  }
}

void Scheduler::charge_accepted(const Sequence& sequence, std::int32_t num_tokens) {
  shares_.charge(sequence.request().client(), 0, num_tokens);
}

void Scheduler::list_decoding(std::vector<Sequence*>& decoding) const {
  decoding.clear();
  for (const Running& running : running_) {
    if (running.sequence->num_remaining() == 1) decoding.push_back(running.sequence);
  }
}

void Scheduler::schedule_decodes() {
  // running_ may shrink while this goes on: make_room displaces others, before or after this one.
  prefilling_.clear();
  for (const Running& running : running_) {
    if (running.sequence->num_remaining() == 1) prefilling_.push_back(running.sequence);
  }
  for (Sequence* const sequence : prefilling_) {
    if (find_running(*sequence) != nullptr && make_room(*sequence, 1)) plan(*sequence, 1);
  }
}

void Scheduler::schedule_prefills() {
  prefilling_.clear();
  std::int32_t num_decodes = 0;
  for (const Running& running : running_) {
    if (running.planned > 0)
      ++num_decodes;
    else if (running.sequence->num_remaining() > 0)
      prefilling_.push_back(running.sequence);
  }
  if (prefilling_.empty()) return;
  if (wave_layers_ == 0) {
    begin_prefills(num_decodes);
  } else {
    for (const Member& member : wave_) plan(*member.sequence, member.num_tokens);
  }
  plan_layers(num_decodes);
}

// Shares out what the step may take of prompts.
void Scheduler::begin_prefills(std::int32_t num_decodes) {
  std::int64_t wanted = 0;
  for (const Sequence* const sequence : prefilling_) wanted += sequence->num_remaining();
  const auto most = static_cast<std::int32_t>(std::min<std::int64_t>(wanted, budget_left_));
  const StepPacer::Prefill paced = pacer_.begin_prefill(num_decodes, most);
  prefill_left_ = std::min(budget_left_, paced.tokens);
  begins_wave_ = paced.layers < options_.num_layers;
  std::sort(prefilling_.begin(), prefilling_.end(),
            [this](const Sequence* a, const Sequence* b) { return rank(*a) < rank(*b); });
  // Half to the first (all, if it is alone), the rest to the shortest of its level.
  Sequence* const first = prefilling_.front();
  const std::int32_t level = first->level(now_);
  const bool alone = prefilling_.size() == 1;
  const std::int32_t reserved =
      std::min(first->num_remaining(), alone ? prefill_left_ : (prefill_left_ + 1) / 2);
  const auto same_level_end =
      std::find_if(prefilling_.begin(), prefilling_.end(),
                   [&](const Sequence* sequence) { return sequence->level(now_) > level; });
  const auto served = [this](const Sequence* sequence) {
    return shares_.served(sequence->request().client());
  };
  std::stable_sort(prefilling_.begin() + 1, same_level_end, [&](const Sequence* a, const Sequence* b) {
    return served(a) != served(b) ? served(a) < served(b) : a->num_remaining() < b->num_remaining();
  });
  prefill_left_ -= reserved;
  for (auto sequence = prefilling_.begin() + 1; sequence != same_level_end && prefill_left_ > 0; ++sequence) {
    if (find_running(**sequence) != nullptr) try_plan_prefill(**sequence, prefill_left_);
  }
  prefill_left_ += reserved;
  if (find_running(*first) != nullptr) try_plan_prefill(*first, prefill_left_);
  for (auto sequence = same_level_end; sequence != prefilling_.end() && prefill_left_ > 0; ++sequence) {
    if (find_running(**sequence) != nullptr) try_plan_prefill(**sequence, prefill_left_);
  }
  if (budget_left_ < options_.step_token_budget) return;
  // Nobody found pages: the oldest of the best level can displace all others, and only has to wait for pages
  // that copies still hold.
  const auto oldest = std::min_element(running_.begin(), running_.end(),
                                       [](const Running& a, const Running& b) { return a.level < b.level; });
  CHECK(try_plan_prefill(*oldest->sequence, std::max(prefill_left_, 1)) || cache_.has_copies());
}

// How far through the layers the step takes what was planned of prompts.
void Scheduler::plan_layers(std::int32_t num_decodes) {
  std::int32_t tokens = 0;
  if (wave_layers_ == 0) {
    if (!begins_wave_) return;
    for (const Running& running : running_) {
      if (running.planned == 0 || running.sequence->num_remaining() == 1) continue;
      wave_.push_back({running.sequence, running.planned, tokens});
      tokens += running.planned;
    }
  } else {
    for (const Member& member : wave_) tokens += member.num_tokens;
  }
  if (wave_.empty()) return;
  const std::int32_t left = options_.num_layers - wave_layers_;
  layers_ = {wave_layers_, wave_layers_ + pacer_.next_layers(num_decodes, tokens, left)};
}

// Gives drafts what is left of the step; none beside prompts, whose tokens are all needed.
void Scheduler::schedule_drafts() {
  num_drafts_ = 0;
  for (Running& running : running_) {
    Draft& draft = running.sequence->draft();
    if (draft.num_run == 0) continue;
    const bool decodes =
        prefilling_.empty() && running.planned == 1 && running.sequence->num_remaining() == 1;
    draft.num_run = decodes ? draft_room(*running.sequence, std::min(draft.num_run, budget_left_)) : 0;
    running.drafts = draft.num_run;
    budget_left_ -= running.drafts;
    num_drafts_ += running.drafts;
  }
}

// How many of a sequence's drafts have pages. A page is taken for them only where every other sequence could
// take one, too.
std::int32_t Scheduler::draft_room(Sequence& sequence, std::int32_t wanted) {
  const std::int32_t next = sequence.num_computed() + 1;
  bool plenty = true;
  for (std::size_t g = 0; g < cache_.num_groups(); ++g)
    plenty = plenty && cache_.num_available(g) > num_running();
  if (plenty && cache_.try_extend(sequence.held(), next + wanted)) return wanted;
  const auto held = static_cast<std::int32_t>(sequence.held().tables[0].size()) * kPageTokens;
  return std::min(wanted, held - next);
}

bool Scheduler::try_plan_prefill(Sequence& sequence, std::int32_t most_tokens) {
  const std::int32_t chunk = std::min({sequence.num_remaining(), most_tokens, budget_left_});
  if (chunk < 1 || !make_room(sequence, chunk)) return false;
  plan(sequence, chunk);
  prefill_left_ -= chunk;
  return true;
}

// Lets in, by rank, whoever has room.
void Scheduler::admit() {
  // Whoever was just displaced would be let in again at once, to be displaced again.
  if (preempted_in_step_ || waiting_.empty()) return;
  line_.clear();
  for (Sequence* const sequence : waiting_) line_.push_back({rank(*sequence), sequence});
  const auto later = [](const Ranked& a, const Ranked& b) { return b.rank < a.rank; };
  std::make_heap(line_.begin(), line_.end(), later);
  for (std::int32_t passed_over = 0; !line_.empty() && passed_over < kMostPassedOver;) {
    std::pop_heap(line_.begin(), line_.end(), later);
    Sequence& next = *line_.back().sequence;
    line_.pop_back();
    switch (try_admit(next)) {
      case Admission::kAdmitted:
        break;
      case Admission::kPassedOver:
        ++passed_over;
        break;
      case Admission::kNoRoom:
        return;
    }
  }
}

Scheduler::Admission Scheduler::try_admit(Sequence& sequence) {
  // The usual case in a crowd, told before anything is looked up.
  if (num_running() >= options_.max_running && !may_displace(sequence)) return Admission::kNoRoom;
  KvCache::Match match = find_cached(sequence);
  if (waits_for_running_prefix(sequence, match)) return Admission::kPassedOver;
  while (num_running() >= options_.max_running || !has_pages_for(sequence, match)) {
    if (!may_displace(sequence)) return Admission::kNoRoom;
    preempt(last_ranked());
    match = find_cached(sequence);
  }
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &sequence));
  if (sequence.start(cache_, match, now_)) newly_started_.push_back(&sequence);
  const auto place = std::upper_bound(
      running_.begin(), running_.end(), sequence.arrival(),
      [](std::uint64_t arrival, const Running& running) { return arrival < running.sequence->arrival(); });
  running_.insert(place, {&sequence, 0, 0, sequence.level(now_)});
  return Admission::kAdmitted;
}

KvCache::Match Scheduler::find_cached(const Sequence& sequence, bool may_copy) const {
  return cache_.find(sequence.tokens(), sequence.cache_key(), may_copy, sequence.most_reusable());
}

// Whether all known tokens of a waiting sequence, and its first own one, would find pages beyond what the
// running ones will take. Without its copied page if that is what it fails for.
bool Scheduler::has_pages_for(const Sequence& sequence, KvCache::Match& match) const {
  const auto fits = [&] {
    for (std::size_t g = 0; g < cache_.num_groups(); ++g) {
      // One more than the known tokens, so that its first own token does not displace it.
      const std::int32_t all =
          std::min(cache_.pages_needed(g, sequence.num_tokens() + 1), cache_.pool(g).num_pages());
      const std::int32_t shared = match.num_shared[g];
      const std::int32_t available =
          cache_.num_available_to_start(g) - match.num_idle[g] - pages_spoken_for(g);
      if (all - shared > available) return false;
    }
    return true;
  };
  if (fits()) return true;
  if (match.num_tokens % kPageTokens == 0) return false;
  match = find_cached(sequence, false);
  return fits();
}

// Whether a running sequence is of a lower level and has to give way to this waiting one.
bool Scheduler::may_displace(const Sequence& sequence) const {
  return !running_.empty() && running_[last_ranked()].level > sequence.level(now_);
}

// Whether a running sequence is about to compute so much of what this one's prompt begins with, beyond what
// is cached, that it pays to wait: a page, or half of all there is to compute.
bool Scheduler::waits_for_running_prefix(const Sequence& sequence, const KvCache::Match& match) const {
  const auto useful = sequence.tokens().first(
      static_cast<std::size_t>(std::min(sequence.num_tokens() - 1, sequence.most_reusable())));
  for (const Running& running : running_) {
    const Sequence& other = *running.sequence;
    if (other.num_remaining() <= 1 || running.level > sequence.level(now_) ||
        other.cache_key() != sequence.cache_key()) {
      continue;
    }
    const std::int32_t equal = common_tokens(useful, other.tokens());
    const std::int32_t common = cache_.num_shareable(other.held(), equal);
    const std::int32_t gain = common - match.num_tokens;
    if (other.num_computed() < common &&
        (gain >= kPageTokens || 2 * gain >= sequence.num_tokens() - match.num_tokens)) {
      cache_.add_wish(running.sequence->held(), equal);
      return true;
    }
  }
  return false;
}

// Decodes first, so that a backend finds rows of one token side by side; a wave last.
void Scheduler::emit_plan() {
  chunks_.clear();
  num_prefilling_ = 0;
  for (const Running& running : running_) {
    if (running.planned == 1 && find_member(*running.sequence) == nullptr)
      chunks_.push_back({.sequence = running.sequence, .num_tokens = 1, .num_drafts = running.drafts});
  }
  num_decoding_ = static_cast<std::int32_t>(chunks_.size());
  const bool finishes = wave_.empty() || layers_.last == options_.num_layers;
  for (const Running& running : running_) {
    const Member* const member = find_member(*running.sequence);
    if (running.planned == 0 || (running.planned == 1 && member == nullptr)) continue;
    ScheduledChunk chunk{.sequence = running.sequence, .num_tokens = running.planned};
    if (member != nullptr) {
      chunk.kept_row = member->kept_row;
      chunk.finishes = finishes;
    }
    chunks_.push_back(chunk);
    num_prefilling_ += running.planned;
  }
  double share = 1.0;
  if (!wave_.empty()) {
    share = static_cast<double>(layers_.last - layers_.first) / options_.num_layers;
    wave_layers_ = layers_.last;
    if (finishes) {
      wave_.clear();
      wave_layers_ = 0;
    }
  }
  prefill_ = pacer_.work(num_prefilling_, share);
  for (const ScheduledChunk& chunk : chunks_) {
    cache_.begin_step(chunk.sequence->held());
    const bool decodes = chunk.num_tokens == 1 && !chunk.kept_row;
    if (!decodes && layers_.first > 0) continue;  // charged when it began
    shares_.charge(chunk.sequence->request().client(), decodes ? 0 : chunk.num_tokens, decodes ? 1 : 0);
  }
}

void Scheduler::plan(Sequence& sequence, std::int32_t num_tokens) {
  Running* const running = find_running(sequence);
  CHECK(running != nullptr && running->planned == 0 && num_tokens <= budget_left_);
  running->planned = num_tokens;
  budget_left_ -= num_tokens;
}

// Takes the pages for the next `num_tokens` tokens of a running sequence, displacing others that rank below
// it as needed. False if it has to sit this step out: displaced itself while decoding, or, in the middle of a
// prefill, left to wait for others to finish.
bool Scheduler::make_room(Sequence& sequence, std::int32_t num_tokens) {
  while (!cache_.try_extend(sequence.held(), sequence.num_computed() + num_tokens)) {
    const std::size_t last = last_ranked();
    const bool is_last = running_[last].sequence == &sequence;
    if (is_last && sequence.num_remaining() > 1) return false;
    preempt(last);
    if (is_last) return false;
  }
  return true;
}

// Of the running ones: the newest of the lowest level. Not by share: that changes with every step, and who
// was displaced would displace in turn.
std::size_t Scheduler::last_ranked() const {
  std::size_t last = 0;
  for (std::size_t i = 1; i < running_.size(); ++i) {
    if (running_[i].level >= running_[last].level) last = i;
  }
  return last;
}

void Scheduler::preempt(std::size_t index) {
  const Running displaced = running_[index];
  budget_left_ += displaced.planned;
  if (displaced.planned > 1) prefill_left_ += displaced.planned;
  leave_wave(*displaced.sequence);
  displaced.sequence->stop(cache_);
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  put_in_line(*displaced.sequence);
  preempted_in_step_ = true;
  ++num_preemptions_;
}

// Its rows stay unused until the wave is over.
void Scheduler::leave_wave(const Sequence& sequence) {
  std::erase_if(wave_, [&](const Member& member) { return member.sequence == &sequence; });
  if (wave_.empty()) wave_layers_ = 0;
}

const Scheduler::Member* Scheduler::find_member(const Sequence& sequence) const {
  const auto found = std::find_if(wave_.begin(), wave_.end(),
                                  [&](const Member& member) { return member.sequence == &sequence; });
  return found == wave_.end() ? nullptr : &*found;
}

bool Scheduler::preempt_last(TimePoint now) {
  if (running_.empty()) return false;
  for (Running& running : running_) running.level = running.sequence->level(now);
  preempt(last_ranked());
  return true;
}

// Pages that running sequences will take for tokens already known and for the one after.
std::int32_t Scheduler::pages_spoken_for(std::size_t group) const {
  std::int32_t pages = 0;
  for (const Running& running : running_) {
    const Sequence& sequence = *running.sequence;
    pages += std::max(
        0, cache_.pages_needed(group, sequence.num_tokens() + 1) - cache_.pages_held(sequence.held(), group));
  }
  return pages;
}

std::vector<const Sequence*> Scheduler::waiting_by_rank(TimePoint now) const {
  std::vector<std::pair<Rank, const Sequence*>> ranked;
  for (const Sequence* const sequence : waiting_)
    ranked.push_back(
        {{sequence->level(now), shares_.served(sequence->request().client()), sequence->arrival()},
         sequence});
  std::sort(ranked.begin(), ranked.end());
  std::vector<const Sequence*> line;
  for (const auto& entry : ranked) line.push_back(entry.second);
  return line;
}

Result<void> Scheduler::check_integrity() const {
  const auto wrong = [](const Sequence& sequence, const std::string& what) {
    return Error(ErrorKind::kInternal, "sequence " + std::to_string(sequence.id()) + " " + what);
  };
  std::vector<const KvCache::Held*> holders;
  const Sequence* previous = nullptr;
  for (const Running& running : running_) {
    const Sequence& sequence = *running.sequence;
    if (previous != nullptr && !by_arrival(previous, &sequence))
      return wrong(sequence, "runs out of order of arrival");
    previous = &sequence;
    if (sequence.num_remaining() < 1) return wrong(sequence, "runs with nothing to compute");
    for (std::size_t g = 0; g < cache_.num_groups(); ++g) {
      const std::vector<PageId>& table = sequence.held().tables[g];
      const std::int32_t pages = pages_for_tokens(sequence.num_computed());
      if (pages > std::ssize(table) || (pages > 0 && table[static_cast<std::size_t>(pages) - 1] == kNoPage))
        return wrong(sequence, "has computed tokens without a page");
    }
    holders.push_back(&sequence.held());
  }
  previous = nullptr;
  for (const Sequence* sequence : waiting_) {
    if (previous != nullptr && !by_arrival(previous, sequence))
      return wrong(*sequence, "waits out of order of arrival");
    previous = sequence;
    if (!sequence->held().tables[0].empty() || sequence->num_computed() != 0)
      return wrong(*sequence, "waits with pages");
  }
  if (wave_.empty() != (wave_layers_ == 0) || wave_layers_ > std::max(0, options_.num_layers - 1))
    return Error(ErrorKind::kInternal, std::to_string(wave_.size()) + " sequences are between layers after " +
                                           std::to_string(wave_layers_));
  for (const Member& member : wave_) {
    if (std::none_of(running_.begin(), running_.end(),
                     [&](const Running& running) { return running.sequence == member.sequence; }))
      return Error(ErrorKind::kInternal, "a sequence between layers does not run");
    if (member.num_tokens > member.sequence->num_remaining())
      return wrong(*member.sequence, "has more tokens between layers than to compute");
  }
  if (num_running() > options_.max_running)
    return Error(ErrorKind::kInternal, std::to_string(num_running()) + " sequences run");
  return cache_.check_integrity(holders);
}

}  // namespace mlxd
