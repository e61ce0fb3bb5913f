#include "engine/engine.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace mlxd {
namespace {

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

Error option_too_small(const char* name, std::int32_t value) {
  return invalid_argument(std::string(name) + " is " + std::to_string(value) + ", must be at least 1", name);
}

}  // namespace

Result<void> check_fits(const GenerationRequest& request, std::int32_t num_pages) {
  // The last token is reported but never run, so it needs no K/V.
  const std::int64_t tokens = static_cast<std::int64_t>(request.prompt().size()) +
                              static_cast<std::int64_t>(request.max_tokens()) - 1;
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
  const std::int32_t num_pages =
      options.choose_num_pages ? TRY(options.choose_num_pages(info)) : options.num_pages;
  if (num_pages < 1) return option_too_small("num_pages", num_pages);
  if (options.max_running < 1) return option_too_small("max_running", options.max_running);
  if (options.step_token_budget < 1) return option_too_small("step_token_budget", options.step_token_budget);
  for (std::size_t group = 0; group < info.page_groups.size(); ++group)
    TRY(backend->resize_pages(group, num_pages));
  Scheduler::Options limits;
  limits.step_token_budget = std::min(options.step_token_budget, info.max_batch_tokens);
  limits.max_running = std::min({options.max_running, info.max_batch_sequences, limits.step_token_budget});
  return std::unique_ptr<Engine>(new Engine(std::move(backend), num_pages, limits, clock));
}

Engine::Engine(std::unique_ptr<Backend> backend, std::int32_t num_pages, Scheduler::Options options,
               const Clock& clock)
    : clock_(clock), backend_(std::move(backend)), pool_(num_pages), scheduler_(pool_, options) {
  const auto most_sequences = static_cast<std::size_t>(options.max_running);
  batch_.tokens.reserve(static_cast<std::size_t>(options.step_token_budget));
  batch_.sequences.reserve(most_sequences);
  batch_.samples.reserve(most_sequences);
  batch_.page_ids.reserve(static_cast<std::size_t>(num_pages));
  events_.reserve(most_sequences);
  ended_.reserve(most_sequences);
}

Result<void> Engine::submit(SequenceId id, GenerationRequest request) {
  if (device_lost_) return *device_lost_;
  TRY(check_fits(request, num_pages()));
  auto [entry, inserted] = sequences_.try_emplace(
      id, std::make_unique<Sequence>(id, next_arrival_++, std::move(request), clock_.now()));
  CHECK(inserted);
  scheduler_.add(*entry->second);
  return {};
}

void Engine::cancel(SequenceId id) {
  if (!sequences_.contains(id)) return;
  ++stats_.requests_cancelled;
  retire(id);
}

std::span<SequenceEvent> Engine::step() {
  CHECK(!idle());
  const TimePoint started = clock_.now();
  events_.clear();
  ended_.clear();
  schedule();
  const TimePoint forward_started = clock_.now();
  const Result<void> computed = forward();
  const TimePoint forward_ended = clock_.now();
  if (computed.ok()) {
    sample();
  } else {
    fail_step(computed.error());
  }
  publish(started, forward_started, forward_ended);
  return events_;
}

// Plans the step and writes it down for the backend.
void Engine::schedule() {
  chunks_ = scheduler_.schedule();
  CHECK(!chunks_.empty());
  const TimePoint now = clock_.now();
  for (const Sequence* sequence : scheduler_.newly_started())
    stats_.queue_seconds_histogram.observe(seconds(now - sequence->submitted_at()));
  batch_.clear();
  for (const ScheduledChunk& chunk : chunks_) add_to_batch(chunk);
}

void Engine::add_to_batch(const ScheduledChunk& chunk) {
  const Sequence& sequence = *chunk.sequence;
  BatchSequence entry;
  entry.first_token = static_cast<std::int32_t>(batch_.tokens.size());
  entry.num_tokens = chunk.num_tokens;
  entry.first_position = sequence.num_computed();
  // One table for all layer groups: a page id stands for a page in each of them.
  entry.page_tables.fill({.begin = static_cast<std::int32_t>(batch_.page_ids.size()),
                          .count = static_cast<std::int32_t>(sequence.pages().size())});
  batch_.sequences.push_back(entry);
  batch_.page_ids.insert(batch_.page_ids.end(), sequence.pages().begin(), sequence.pages().end());
  for (const TokenId token : sequence.tokens().subspan(static_cast<std::size_t>(sequence.num_computed()),
                                                       static_cast<std::size_t>(chunk.num_tokens)))
    batch_.tokens.push_back(TokenInput::id(token));
  if (chunk.num_tokens == sequence.num_remaining())
    batch_.samples.push_back({static_cast<std::int32_t>(batch_.tokens.size()) - 1, sequence.sample_spec()});
}

Result<void> Engine::forward() {
  const Backend::StepHandle handle = TRY(backend_->submit(batch_));
  TRY(backend_->collect(handle, result_));
  if (result_.samples.size() != batch_.samples.size())
    return Error(ErrorKind::kInternal, "the backend chose " + std::to_string(result_.samples.size()) +
                                           " tokens in a step that asked for " +
                                           std::to_string(batch_.samples.size()));
  return {};
}

// Gives every sequence of the step what it computed.
void Engine::sample() {
  std::size_t row = 0;
  for (const ScheduledChunk& chunk : chunks_) {
    Sequence& sequence = *chunk.sequence;
    const std::int32_t recomputed = sequence.advance(chunk.num_tokens);
    const std::int32_t end = sequence.num_computed();
    const std::int32_t prefilled =
        std::min(end, sequence.num_prompt_tokens()) - (end - chunk.num_tokens + recomputed);
    stats_.prompt_tokens += static_cast<std::uint64_t>(std::max(prefilled, 0));
    stats_.recomputed_tokens += static_cast<std::uint64_t>(recomputed);
    if (sequence.num_remaining() == 0) accept_sample(sequence, result_.samples[row++]);
  }
}

void Engine::accept_sample(Sequence& sequence, const SampledToken& sampled) {
  if (sampled.token == kNoToken) {
    fail(sequence,
         Error(ErrorKind::kInternal,
               "the model gave no probability to any token (its logits are not numbers): its weights or "
               "this backend are at fault"));
    return;
  }
  const SamplingParams& sampling = sequence.request().sampling();
  SequenceEvent& event = events_.emplace_back();
  event.id = sequence.id();
  event.event.token = sampled.token;
  if (sampling.logprobs) event.event.logprob = sampled.logprob;
  if (sampled.num_top_logprobs > 0) {
    const auto first = result_.top_logprobs.begin() + sampled.first_top_logprob;
    event.event.top_logprobs.assign(first, first + sampled.num_top_logprobs);
  }
  ++stats_.generated_tokens;
  event.event.finish = sequence.append(sampled.token);
  if (event.event.finish) {
    ++stats_.requests_finished;
    ended_.push_back(sequence.id());
  }
}

void Engine::fail_step(const Error& error) {
  if (error.kind != ErrorKind::kUnavailable) {
    for (const ScheduledChunk& chunk : chunks_) fail(*chunk.sequence, error);
    return;
  }
  device_lost_ = error;
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
  sequences_.erase(entry);
}

EngineStats Engine::stats() const {
  EngineStats stats = stats_;
  stats.preemptions = scheduler_.num_preemptions();
  stats.running = scheduler_.num_running();
  stats.waiting = scheduler_.num_waiting();
  stats.pages_total = pool_.num_pages();
  stats.pages_used = pool_.num_used();
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
