#include "engine/engine.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "engine/model_drafter.h"
#include "engine/prompt_lookup_drafter.h"

namespace mlxd {
namespace {

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// The device's turn of a step.
class Turn {
 public:
  explicit Turn(Backend& backend) : backend_(backend) { backend_.begin_turn(); }
  ~Turn() { backend_.end_turn(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Backend& backend_;
};

Error no_probability() {
  return Error(ErrorKind::kInternal,
               "the model gave no probability to any token (its logits are not numbers): its weights or "
               "this backend are at fault");
}

Error option_too_small(const char* name, std::int32_t value) {
  return invalid_argument(std::string(name) + " is " + std::to_string(value) + ", must be at least 1", name);
}

}  // namespace

Result<void> check_fits(const GenerationRequest& request, std::int32_t num_pages) {
  // The last token is reported but never run, so it needs no K/V.
  const std::int64_t tokens = static_cast<std::int64_t>(request.prompt().size()) +
                              std::max<std::int64_t>(request.max_tokens() - 1, 0);
  if (tokens <= static_cast<std::int64_t>(num_pages) * kPageTokens) return {};
  return Error(ErrorKind::kTooLarge,
               "the request needs K/V for " + std::to_string(tokens) + " tokens (a prompt of " +
                   std::to_string(request.prompt().size()) + " and an answer of up to " +
                   std::to_string(request.max_tokens()) + "), the model's cache holds " +
                   std::to_string(static_cast<std::int64_t>(num_pages) * kPageTokens) +
                   ": shorten the prompt or lower max_tokens",
               "prompt");
}

Result<std::unique_ptr<Engine>> Engine::create(std::unique_ptr<Backend> backend, const EngineOptions& options,
                                               const Clock& clock) {
  const BackendInfo& info = backend->info();
  using Method = SpeculationOptions::Method;
  if (info.has_state() && options.speculation.method == Method::kDraftModel)
    return invalid_argument(
        "nothing can be drafted for a model with recurrent layers, whose state cannot be taken back: leave "
        "the draft model out",
        "draft-model");
  const Method method = info.has_state() ? Method::kOff : options.speculation.method;
  BackendMemory memory = backend->memory();
  std::unique_ptr<Backend> draft_backend;
  if (method == Method::kDraftModel) {
    draft_backend = TRY(options.speculation.load_draft_backend());
    memory = memory + draft_backend->memory();
  }
  const std::int32_t num_pages =
      options.choose_num_pages ? TRY(options.choose_num_pages(info, memory)) : options.num_pages;
  if (num_pages < 1) return option_too_small("num_pages", num_pages);
  if (options.max_running < 1) return option_too_small("max_running", options.max_running);
  if (options.step_token_budget < 1) return option_too_small("step_token_budget", options.step_token_budget);
  if (info.page_groups.empty() || info.page_groups.size() > kMaxLayerGroups)
    return Error(ErrorKind::kInternal,
                 "the backend has " + std::to_string(info.page_groups.size()) + " layer groups");
  for (const PageGroupInfo& group : info.page_groups) {
    if (group.is_state && group.window_tokens != 2)
      return Error(ErrorKind::kInternal, "the backend's states have a window");
  }
  Scheduler::Options limits;
  limits.step_token_budget = std::min(options.step_token_budget, info.max_batch_tokens);
  limits.max_running = std::min({options.max_running, info.max_batch_sequences, limits.step_token_budget});
  limits.gap_ratio = options.gap_ratio;
  limits.num_layers = info.num_sliceable_layers;
  limits.piece_tokens = info.piece_tokens;
  KvCache::Options cache;
  cache.groups = info.page_groups;
  cache.num_pages = pages_by_group(info, num_pages, limits.max_running, limits.step_token_budget);
  cache.share_prefixes = options.share_prefixes;
  for (std::size_t group = 0; group < cache.groups.size(); ++group)
    TRY(backend->resize_pages(group, cache.num_pages[group]));
  std::unique_ptr<Drafter> drafter;
  if (method == Method::kPromptLookup) drafter = std::make_unique<PromptLookupDrafter>();
  if (draft_backend != nullptr)
    drafter = TRY(ModelDrafter::create(std::move(draft_backend),
                                       {.num_pages = num_pages,
                                        .max_running = limits.max_running,
                                        .step_token_budget = limits.step_token_budget,
                                        .vocab_size = info.vocab_size,
                                        .context_tokens = options.speculation.draft_context_tokens},
                                       clock));
  std::unique_ptr<Engine> engine(new Engine(std::move(backend), std::move(drafter), num_pages,
                                            std::move(cache), limits, options.speculation.fixed_drafts,
                                            clock));
  engine->profile_ = options.profile;
  return engine;
}

std::vector<std::int32_t> pages_by_group(const BackendInfo& info, std::int32_t num_pages,
                                         std::int32_t max_running, std::int32_t step_token_budget) {
  std::vector<std::int32_t> pages;
  for (const PageGroupInfo& group : info.page_groups) {
    if (group.is_state) {
      pages.push_back(state_pages(info.page_groups, num_pages, max_running));
      continue;
    }
    const std::int32_t each =
        KvCache::most_pages(group, std::int64_t{num_pages} * kPageTokens, step_token_budget);
    pages.push_back(
        static_cast<std::int32_t>(std::min<std::int64_t>(num_pages, std::int64_t{each} * max_running)));
  }
  return pages;
}

Engine::Engine(std::unique_ptr<Backend> backend, std::unique_ptr<Drafter> drafter, std::int32_t num_pages,
               KvCache::Options cache, Scheduler::Options options, std::int32_t fixed_drafts,
               const Clock& clock)
    : clock_(clock),
      backend_(std::move(backend)),
      cache_(std::move(cache)),
      scheduler_(cache_, options),
      speculator_(std::move(drafter), fixed_drafts),
      limits_(options),
      num_pages_(num_pages) {
  const auto most_sequences = static_cast<std::size_t>(options.max_running);
  batch_.tokens.reserve(static_cast<std::size_t>(options.step_token_budget));
  batch_.sequences.reserve(most_sequences);
  const std::size_t most_rows =
      most_sequences + static_cast<std::size_t>(speculator_.guesses() ? DraftPlanner::kMostExtraRows : 0);
  batch_.samples.reserve(most_rows);
  batch_.masks.reserve(most_sequences);
  batch_.page_ids.reserve(static_cast<std::size_t>(num_pages) * cache_.num_groups());
  events_.reserve(most_rows);
  decoding_.reserve(most_sequences);
  ended_.reserve(most_sequences);
}

Result<void> Engine::submit(SequenceId id, GenerationRequest request) {
  if (device_lost_) return *device_lost_;
  TRY(check_fits(request, num_pages()));
  if (request.adapter() != kNoAdapter && !has_adapter(request.adapter()))
    return Error(ErrorKind::kUnavailable, "the request's adapter has been unloaded: ask again", "adapter");
  auto [entry, inserted] = sequences_.try_emplace(
      id, std::make_unique<Sequence>(id, next_arrival_++, std::move(request), clock_.now()));
  CHECK(inserted);
  scheduler_.add(*entry->second);
  if (const auto& deadline = entry->second->request().deadline();
      deadline && (!next_deadline_ || *deadline < *next_deadline_))
    next_deadline_ = deadline;
  return {};
}

bool Engine::has_adapter(AdapterId id) const {
  return std::find(adapters_.begin(), adapters_.end(), id) != adapters_.end();
}

Result<void> Engine::attach_adapter(AdapterId id, PreparedAdapterPtr adapter) {
  if (id == kNoAdapter || has_adapter(id))
    return Error(ErrorKind::kConflict, "adapter " + std::to_string(id) + " is attached already");
  TRY(backend_->attach_adapter(id, std::move(adapter)));
  adapters_.push_back(id);
  return {};
}

Result<void> Engine::detach_adapter(AdapterId id) {
  if (!has_adapter(id)) return {};
  for (const auto& entry : sequences_) {
    if (entry.second->request().adapter() == id)
      return Error(ErrorKind::kConflict, "adapter " + std::to_string(id) + " is in use");
  }
  backend_->detach_adapter(id);
  std::erase(adapters_, id);
  return {};
}

void Engine::cancel(SequenceId id) {
  std::erase_if(untold_, [id](const SequenceEvent& event) { return event.id == id; });
  if (!sequences_.contains(id)) return;
  ++stats_.requests_cancelled;
  retire(id);
}

std::span<SequenceEvent> Engine::step() {
  CHECK(!idle());
  // Before the clock is read: what other models compute is no part of this one's pace.
  const Turn turn(*backend_);
  const TimePoint started = clock_.now();
  if (profile_ != nullptr) profile_->begin_step(follows_);
  events_.clear();
  ended_.clear();
  std::swap(events_, untold_);
  follows_ = false;
  expire();
  if (sequences_.empty()) return events_;
  draft();
  schedule();
  end_stage(StepStage::kSchedule);
  const TimePoint forward_started = clock_.now();
  const Result<void> copied = copy_pages();
  const Result<void> computed = copied.ok() ? forward() : copied;
  end_stage(StepStage::kSampling);
  const TimePoint forward_ended = clock_.now();
  if (!copied.ok()) {
    // Whose pages are wrong now is not worth telling apart.
    fail_all(copied.error());
  } else if (!computed.ok()) {
    fail_step(computed.error());
  } else {
    sample();
  }
  const std::size_t computed_tokens = num_computed_tokens();
  publish(started, forward_started, forward_ended);
  if (profile_ != nullptr) {
    profile_->lap(StepStage::kPublish);
    profile_->end_step(computed_tokens);
  }
  follows_ = !idle();
  return events_;
}

Result<void> Engine::warm_up() {
  CHECK(sequences_.empty());
  const Turn turn(*backend_);
  // On the first page of each group, which nobody has and nobody will take for anything that it held.
  batch_.clear();
  batch_.tokens.push_back(TokenInput::id(0));
  BatchSequence sequence;
  sequence.num_tokens = 1;
  for (std::size_t group = 0; group < cache_.num_groups(); ++group) {
    sequence.page_tables[group] = {.begin = static_cast<std::int32_t>(group), .count = 1};
    batch_.page_ids.push_back(0);
  }
  batch_.sequences.push_back(sequence);
  batch_.samples.push_back({0, SampleSpec{}});
  const Backend::StepHandle handle = TRY(backend_->submit(batch_));
  TRY(backend_->collect(handle, result_));
  batch_.clear();
  if (result_.samples.size() == 1 && result_.samples.front().token != kNoToken) return {};
  return Error(ErrorKind::kInternal,
               "the model gives no probability to any token: its weights or this backend "
               "are at fault");
}

// Ends the sequences whose time is over.
void Engine::expire() {
  const TimePoint now = clock_.now();
  if (!next_deadline_ || now < *next_deadline_) return;
  next_deadline_.reset();
  for (const auto& entry : sequences_) {
    const auto& deadline = entry.second->request().deadline();
    if (!deadline) continue;
    if (now < *deadline) {
      if (!next_deadline_ || *deadline < *next_deadline_) next_deadline_ = deadline;
      continue;
    }
    const auto waited = static_cast<std::int64_t>(seconds(now - entry.second->submitted_at()));
    ++stats_.requests_expired;
    fail(*entry.second, Error(ErrorKind::kTimeout, "the request was not finished " + std::to_string(waited) +
                                                       " s after it came, which is its time limit: " +
                                                       (entry.second->started() ? "ask for fewer tokens"
                                                                                : "too many others wait")));
  }
  for (const SequenceId id : ended_) retire(id);
  ended_.clear();
}

// Guesses what decoding sequences say next, as far as it pays to verify it.
void Engine::draft() {
  decoding_.clear();
  if (speculator_.guesses()) scheduler_.list_decoding(decoding_);
  const auto proposed = speculator_.propose(decoding_, scheduler_.pacer().extra_row_seconds(), clock_);
  if (!proposed.ok()) drop_drafter(proposed.error());
}

// Plans the step and writes it down for the backend.
void Engine::schedule() {
  const TimePoint now = clock_.now();
  chunks_ = scheduler_.schedule(now);
  CHECK(!chunks_.empty() || cache_.has_copies());
  for (const Sequence* sequence : scheduler_.newly_started())
    stats_.queue_seconds_histogram.observe(seconds(now - sequence->submitted_at()));
  batch_.clear();
  for (const ScheduledChunk& chunk : chunks_) add_to_batch(chunk);
}

void Engine::add_to_batch(const ScheduledChunk& chunk) {
  Sequence& sequence = *chunk.sequence;
  BatchSequence entry;
  entry.first_token = static_cast<std::int32_t>(batch_.tokens.size());
  entry.num_tokens = chunk.num_tokens + chunk.num_drafts;
  entry.first_position = sequence.num_computed();
  entry.adapter = sequence.request().adapter();
  if (chunk.kept_row) {
    entry.kept_row = *chunk.kept_row;
    ++batch_.slice.num_sequences;
    batch_.slice.first_layer = scheduler_.layers().first;
    batch_.slice.last_layer = scheduler_.layers().last;
  }
  for (std::size_t group = 0; group < cache_.num_groups(); ++group) {
    const std::vector<PageId>& table = sequence.held().tables[group];
    entry.page_tables[group] = {.begin = static_cast<std::int32_t>(batch_.page_ids.size()),
                                .count = static_cast<std::int32_t>(table.size())};
    batch_.page_ids.insert(batch_.page_ids.end(), table.begin(), table.end());
  }
  batch_.sequences.push_back(entry);
  for (const TokenId token : sequence.tokens().subspan(static_cast<std::size_t>(sequence.num_computed()),
                                                       static_cast<std::size_t>(chunk.num_tokens)))
    batch_.tokens.push_back(TokenInput::id(token));
  if (!chunk.finishes) return;
  const Sequence::ScoreRows scored = sequence.rows_to_score(chunk.num_tokens);
  for (std::int32_t position = scored.begin; position < scored.end; ++position)
    batch_.samples.push_back(
        {entry.first_token + position - entry.first_position, sequence.score_spec(position)});
  if (chunk.num_tokens < sequence.num_remaining() || !sequence.request().generates()) return;
  const auto last = static_cast<std::int32_t>(batch_.tokens.size()) - 1;
  if (speculator_.look_ahead(sequence, chunk.num_drafts))
    batch_.masks.push_back(sequence.request().constraint());
  batch_.samples.push_back({last, sequence.sample_spec()});
  for (std::int32_t i = 0; i < chunk.num_drafts; ++i) {
    batch_.tokens.push_back(TokenInput::id(sequence.draft().tokens[static_cast<std::size_t>(i)].token));
    batch_.samples.push_back({last + i + 1, sequence.sample_spec(i + 1)});
  }
}

Result<void> Engine::copy_pages() {
  Result<void> copied;
  for (std::size_t group = 0; group < cache_.num_groups() && copied.ok(); ++group) {
    if (!cache_.copies(group).empty()) copied = backend_->copy_pages(group, cache_.copies(group));
  }
  cache_.copies_done();
  return copied;
}

Result<void> Engine::forward() {
  if (chunks_.empty()) return {};
  const Backend::StepHandle handle = TRY(backend_->submit(batch_));
  TRY(backend_->collect(handle, result_));
  if (result_.samples.size() != batch_.samples.size())
    return Error(ErrorKind::kInternal, "the backend chose " + std::to_string(result_.samples.size()) +
                                           " tokens in a step that asked for " +
                                           std::to_string(batch_.samples.size()));
  return {};
}

// Tokens that are through all layers with this step.
std::size_t Engine::num_computed_tokens() const {
  std::size_t count = 0;
  for (const ScheduledChunk& chunk : chunks_)
    count += chunk.finishes ? static_cast<std::size_t>(chunk.num_tokens + chunk.num_drafts) : 0;
  return count;
}

// Gives every sequence of the step what it computed.
void Engine::sample() {
  std::size_t row = 0;
  for (const ScheduledChunk& chunk : chunks_) {
    if (!chunk.finishes) continue;
    Sequence& sequence = *chunk.sequence;
    const std::size_t num_scored = sequence.rows_to_score(chunk.num_tokens).count();
    const bool goes_on = accept_scores(sequence, row, num_scored);
    row += num_scored;
    const std::int32_t recomputed = sequence.advance(cache_, chunk.num_tokens);
    const std::int32_t end = sequence.num_computed();
    const std::int32_t prefilled =
        std::min(end, sequence.num_prompt_tokens()) - (end - chunk.num_tokens + recomputed);
    stats_.prompt_tokens += static_cast<std::uint64_t>(std::max(prefilled, 0));
    stats_.recomputed_tokens += static_cast<std::uint64_t>(recomputed);
    if (sequence.num_remaining() > 0) continue;
    if (!sequence.request().generates()) {
      if (goes_on) finish(sequence, add_event(sequence).event, FinishReason::kLength);
      continue;
    }
    if (goes_on) accept_verified(chunk, row);
    row += static_cast<std::size_t>(chunk.num_drafts) + 1;
  }
}

// Takes what `count` rows from `row` on say of a prompt. False if the sequence ends with it.
bool Engine::accept_scores(Sequence& sequence, std::size_t row, std::size_t count) {
  for (const SampledToken& scored : std::span(result_.samples).subspan(row, count)) {
    if (scored.token == kNoToken) {
      fail(sequence, no_probability());
      return false;
    }
    const auto first = result_.top_logprobs.begin() + scored.first_top_logprob;
    sequence.add_score({scored.logprob, {first, first + scored.num_top_logprobs}});
  }
  return true;
}

// Takes the token that the row after the sequence's last token chose; and while that is the one guessed,
// whose K/V are there already, what the row after it chose. K/V of wrong guesses are overwritten later.
void Engine::accept_verified(const ScheduledChunk& chunk, std::size_t row) {
  Sequence& sequence = *chunk.sequence;
  const Draft& draft = sequence.draft();
  const std::int32_t first_new = sequence.num_tokens();
  std::int32_t accepted = 0;
  while (true) {
    const SampledToken& sampled = result_.samples[row + static_cast<std::size_t>(accepted)];
    const bool goes_on = accept_sample(sequence, sampled);
    if (accepted == chunk.num_drafts ||
        sampled.token != draft.tokens[static_cast<std::size_t>(accepted)].token) {
      break;
    }
    ++accepted;
    if (draft.from_prediction) events_.back().event.was_predicted = true;
    if (!goes_on) break;
    sequence.advance(cache_, 1);
  }
  if (draft.tokens.empty()) return;
  speculator_.learn(sequence, first_new, accepted);
  if (chunk.num_drafts == 0) return;
  if (draft.from_prediction) events_.back().event.num_mispredicted = chunk.num_drafts - accepted;
  scheduler_.charge_accepted(sequence, sequence.num_tokens() - first_new - 1);
  stats_.drafted_tokens += static_cast<std::uint64_t>(chunk.num_drafts);
  stats_.accepted_tokens += static_cast<std::uint64_t>(accepted);
}

// False if the sequence ends with it.
bool Engine::accept_sample(Sequence& sequence, const SampledToken& sampled) {
  const TokenConstraint* const constraint = sequence.request().constraint();
  if (constraint != nullptr && constraint->error()) {
    fail(sequence, *constraint->error());
    return false;
  }
  if (sampled.token == kNoToken) {
    fail(sequence, no_probability());
    return false;
  }
  const SamplingParams& sampling = sequence.request().sampling();
  SequenceEvent& event = add_event(sequence);
  event.event.token = sampled.token;
  if (sampling.logprobs) event.event.logprob = sampled.logprob;
  if (sampled.num_top_logprobs > 0) {
    const auto first = result_.top_logprobs.begin() + sampled.first_top_logprob;
    event.event.top_logprobs.assign(first, first + sampled.num_top_logprobs);
  }
  ++stats_.generated_tokens;
  const std::optional<FinishReason> end = sequence.append(sampled.token);
  if (end) finish(sequence, event.event, *end);
  return !end;
}

// With what is told of the prompt, if this is the sequence's first.
SequenceEvent& Engine::add_event(Sequence& sequence) {
  SequenceEvent& event = events_.emplace_back();
  event.id = sequence.id();
  event.event.prompt_scores = sequence.take_prompt_scores();
  event.event.cache = sequence.take_cache_report();
  if (event.event.cache)
    stats_.cached_prompt_tokens += static_cast<std::uint64_t>(event.event.cache->cached_tokens);
  return event;
}

void Engine::finish(const Sequence& sequence, TokenEvent& event, FinishReason reason) {
  event.finish = reason;
  ++stats_.requests_finished;
  const double took = seconds(clock_.now() - *sequence.started_at());
  running_seconds_ = running_seconds_ > 0.0 ? running_seconds_ * 0.9 + took * 0.1 : took;
  ended_.push_back(sequence.id());
}

void Engine::fail_step(const Error& error) {
  if (error.kind == ErrorKind::kUnavailable) {
    fail_all(error);
    return;
  }
  for (const ScheduledChunk& chunk : chunks_) fail(*chunk.sequence, error);
}

void Engine::fail_all(const Error& error) {
  if (error.kind == ErrorKind::kUnavailable) device_lost_ = error;
  for (const auto& entry : sequences_) fail(*entry.second, error);
}

void Engine::fail(Sequence& sequence, const Error& error) {
  ++stats_.requests_failed;
  SequenceEvent& event = events_.emplace_back();
  event.id = sequence.id();
  event.event.error = error;
  ended_.push_back(sequence.id());
}

// Lets go of what has ended and closes the step's books. The events themselves are the caller's to deliver.
void Engine::publish(TimePoint started, TimePoint forward_started, TimePoint forward_ended) {
  const auto num_sequences = static_cast<std::int32_t>(chunks_.size());
  chunks_ = {};
  for (const SequenceId id : ended_) retire(id);
  const double step_seconds = seconds(clock_.now() - started);
  const double without_guessing = step_seconds - seconds(speculator_.guessing_time());
  scheduler_.observe(without_guessing);
  if (scheduler_.num_prefilling() == 0)
    speculator_.observe(scheduler_.num_decoding(), scheduler_.num_drafts(), without_guessing);
  ++stats_.steps;
  stats_.step_seconds += step_seconds;
  stats_.forward_seconds += seconds(forward_ended - forward_started);
  stats_.last_batch_sequences = num_sequences;
  stats_.max_batch_sequences = std::max(stats_.max_batch_sequences, num_sequences);
  stats_.step_seconds_histogram.observe(step_seconds);
  stats_.batch_sequences_histogram.observe(num_sequences);
  stats_.batch_tokens_histogram.observe(static_cast<double>(batch_.tokens.size()));
}

void Engine::retire(SequenceId id) {
  const auto entry = sequences_.find(id);
  scheduler_.remove(*entry->second);
  speculator_.forget(id);
  sequences_.erase(entry);
}

Result<void> Engine::resize(std::int32_t num_pages) {
  if (num_pages < 1) return option_too_small("num_pages", num_pages);
  const bool grows = num_pages > num_pages_;
  if (!grows) resize_drafter(num_pages);
  const std::vector<std::int32_t> wanted =
      pages_by_group(backend_->info(), num_pages, limits_.max_running, limits_.step_token_budget);
  // First what can fail for want of memory, undone then.
  for (std::size_t group = 0; group < wanted.size(); ++group) {
    if (wanted[group] <= cache_.pool(group).num_pages()) continue;
    if (const auto grown = backend_->resize_pages(group, wanted[group]); !grown.ok()) {
      for (std::size_t before = 0; before < group; ++before) {
        if (wanted[before] > cache_.pool(before).num_pages())
          TRY(backend_->resize_pages(before, cache_.pool(before).num_pages()));
      }
      return grown;
    }
  }
  for (std::size_t group = 0; group < wanted.size(); ++group) {
    if (wanted[group] > cache_.pool(group).num_pages()) cache_.grow(group, wanted[group]);
  }
  num_pages_ = num_pages;
  std::swap(events_, untold_);
  ended_.clear();
  for (const auto& entry : sequences_) {
    if (const auto fits = check_fits(entry.second->request(), num_pages); !fits.ok())
      fail(*entry.second,
           Error(ErrorKind::kOutOfMemory, "the model was given less memory: " + fits.error().message));
  }
  for (const SequenceId id : ended_) retire(id);
  ended_.clear();
  std::swap(events_, untold_);
  for (std::size_t group = 0; group < wanted.size(); ++group) {
    if (wanted[group] < cache_.pool(group).num_pages()) TRY(shrink_group(group, wanted[group]));
  }
  batch_.page_ids.reserve(static_cast<std::size_t>(num_pages) * cache_.num_groups());
  if (grows) resize_drafter(num_pages);
  return {};
}

// Without room for its pages the draft model goes; answers come without it.
void Engine::resize_drafter(std::int32_t num_pages) {
  if (const auto resized = speculator_.resize(num_pages); !resized.ok()) drop_drafter(resized.error());
}

void Engine::drop_drafter(const Error& error) {
  log::error("the draft model failed and is used no more: {}", error.message);
  for (const auto& entry : sequences_) entry.second->draft().clear();
  speculator_.drop();
}

Result<void> Engine::shrink_group(std::size_t group, std::int32_t num_pages) {
  std::vector<KvCache::Held*> holders;
  for (const auto& entry : sequences_) holders.push_back(&entry.second->held());
  while (!cache_.try_prepare_shrink(group, num_pages, holders)) CHECK(scheduler_.preempt_last(clock_.now()));
  const Result<void> copied = copy_pages();
  cache_.finish_shrink(group, num_pages);
  TRY(backend_->resize_pages(group, num_pages));
  return copied;
}

std::vector<Engine::QueuePlace> Engine::queue() const {
  std::vector<QueuePlace> places;
  for (const Sequence* const sequence : scheduler_.waiting_by_rank(clock_.now())) {
    const auto position = static_cast<std::int32_t>(places.size());
    places.push_back({sequence->id(), position, expected_wait_seconds(position)});
  }
  return places;
}

// Requests leave one by one, on average one each (time that one runs / how many run); until one has been seen
// to its end, as if the first were about to.
double Engine::expected_wait_seconds(std::int32_t position) const {
  return running_seconds_ * (position + 1) / std::max(1, scheduler_.num_running());
}

BackendMemory Engine::memory() const { return backend_->memory() + speculator_.memory(); }

EngineStats Engine::stats() const {
  EngineStats stats = stats_;
  stats.preemptions = scheduler_.num_preemptions();
  stats.running = scheduler_.num_running();
  stats.waiting = scheduler_.num_waiting();
  for (std::size_t group = 0; group < cache_.num_groups(); ++group) {
    const PagePool& pool = cache_.pool(group);
    const bool is_state = backend_->info().page_groups[group].is_state;
    (is_state ? stats.states_total : stats.pages_total) += pool.num_pages();
    (is_state ? stats.states_used : stats.pages_used) += pool.num_used();
    (is_state ? stats.states_cached : stats.pages_cached) += pool.num_idle();
  }
  stats.prefix_evictions = cache_.num_evictions();
  stats.capacity_pages = num_pages_;
  stats.expected_wait_seconds = stats.waiting > 0 ? expected_wait_seconds(stats.waiting) : 0.0;
  return stats;
}

Result<void> Engine::check_integrity() const {
  TRY(scheduler_.check_integrity());
  const auto known =
      static_cast<std::size_t>(scheduler_.num_running()) + static_cast<std::size_t>(scheduler_.num_waiting());
  if (known != sequences_.size())
    return Error(ErrorKind::kInternal, "the scheduler has " + std::to_string(known) +
                                           " sequences, the engine " + std::to_string(sequences_.size()));
  return {};
}

}  // namespace mlxd
