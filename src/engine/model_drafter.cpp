#include "engine/model_drafter.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "engine/engine.h"

namespace mlxd {
namespace {

// Tokens that the small model reads in one round before it drafts: others wait for it.
constexpr std::int32_t kMostUnread = 128;
constexpr double kSecondsWeight = 0.2;
// Until a pass has been timed: little enough to try.
constexpr double kUnknownSeconds = 1e-6;

std::size_t size_class(std::int32_t num_sequences, std::size_t num_sizes) {
  const auto width = static_cast<std::size_t>(std::bit_width(static_cast<std::uint32_t>(num_sequences - 1)));
  return std::min(width, num_sizes - 1);
}

std::unique_ptr<KvCache> make_cache(const BackendInfo& info, const std::vector<std::int32_t>& num_pages) {
  KvCache::Options options;
  options.groups = info.page_groups;
  options.num_pages = num_pages;
  return std::make_unique<KvCache>(std::move(options));
}

}  // namespace

ModelDrafter::ModelDrafter(std::unique_ptr<Backend> backend, const Options& options, const Clock& clock)
    : clock_(clock), backend_(std::move(backend)), options_(options) {}

Result<std::unique_ptr<ModelDrafter>> ModelDrafter::create(std::unique_ptr<Backend> backend,
                                                           const Options& options, const Clock& clock) {
  const BackendInfo& info = backend->info();
  if (info.page_groups.empty() || info.page_groups.size() > kMaxLayerGroups)
    return Error(ErrorKind::kInternal, "the draft model's backend has " +
                                           std::to_string(info.page_groups.size()) + " layer groups");
  if (info.has_state())
    return invalid_argument(
        "a model with recurrent layers cannot draft, as it cannot take back what it guessed wrong: choose a "
        "draft model with attention layers only",
        "draft-model");
  std::unique_ptr<ModelDrafter> drafter(new ModelDrafter(std::move(backend), options, clock));
  drafter->options_.max_running = std::min(options.max_running, info.max_batch_sequences);
  drafter->options_.step_token_budget = std::min(options.step_token_budget, info.max_batch_tokens);
  TRY(drafter->resize(options.num_pages));
  return drafter;
}

// Everything read is forgotten; it is read again as it is needed.
Result<void> ModelDrafter::resize(std::int32_t num_pages) {
  const std::vector<std::int32_t> pages =
      pages_by_group(backend_->info(), num_pages, options_.max_running, options_.step_token_budget);
  for (std::size_t group = 0; group < pages.size(); ++group) TRY(backend_->resize_pages(group, pages[group]));
  readings_.clear();
  cache_ = make_cache(backend_->info(), pages);
  options_.num_pages = num_pages;
  return {};
}

double ModelDrafter::seconds_per_token(std::int32_t num_sequences) const {
  if (num_sequences < 1) return kUnknownSeconds;
  const double known = seconds_[size_class(num_sequences, kNumSizes)];
  return known > 0.0 ? known : kUnknownSeconds;
}

void ModelDrafter::forget(SequenceId id) {
  const auto found = readings_.find(id);
  if (found == readings_.end()) return;
  if (found->second.is_open) close(found->second);
  readings_.erase(found);
}

void ModelDrafter::close(Reading& reading) {
  cache_->close(reading.held, reading.tokens, reading.num_computed, reading.client);
  reading.is_open = false;
  reading.num_computed = 0;
  reading.tokens.clear();
  reading.guessed.clear();
}

// The reading of a sequence, begun if need be with what the cache has of its tokens.
ModelDrafter::Reading& ModelDrafter::open(const Sequence& sequence) {
  Reading& reading = readings_[sequence.id()];
  reading.last_used = round_;
  if (reading.is_open) return reading;
  reading.is_open = true;
  const std::string& salt = sequence.request().cache_salt();
  reading.client = sequence.request().client();
  reading.num_computed = cache_->open(reading.held, cache_->find(sequence.tokens(), salt), salt);
  const auto known = sequence.tokens().first(static_cast<std::size_t>(reading.num_computed));
  reading.tokens.assign(known.begin(), known.end());
  return reading;
}

// Guesses that came true have their K/V already, all but the last of a draft.
void ModelDrafter::take_over_accepted(Reading& reading, const Sequence& sequence) {
  const auto tokens = sequence.tokens();
  std::int32_t accepted = 0;
  for (const TokenId token : reading.guessed) {
    const auto place = static_cast<std::size_t>(reading.num_computed + accepted);
    if (place + 1 >= tokens.size() || tokens[place] != token) break;
    ++accepted;
  }
  reading.guessed.clear();
  if (accepted == 0) return;
  const auto first = static_cast<std::ptrdiff_t>(reading.num_computed);
  reading.tokens.insert(reading.tokens.end(), tokens.begin() + first, tokens.begin() + first + accepted);
  reading.num_computed += accepted;
  cache_->commit(reading.held, reading.tokens, reading.num_computed, reading.client);
}

// Pages for so many tokens; those of readings that nobody drafts from now are let go for it.
bool ModelDrafter::make_room(Reading& reading, std::int32_t num_tokens) {
  while (!cache_->try_extend(reading.held, num_tokens)) {
    Reading* oldest = nullptr;
    for (auto& entry : readings_) {
      Reading& other = entry.second;
      if (other.last_used == round_ || !other.is_open) continue;
      if (oldest == nullptr || other.last_used < oldest->last_used) oldest = &other;
    }
    if (oldest == nullptr) return false;
    close(*oldest);
  }
  return true;
}

bool ModelDrafter::is_known(std::span<const TokenId> tokens) const {
  return std::all_of(tokens.begin(), tokens.end(),
                     [this](TokenId token) { return token < backend_->info().vocab_size; });
}

void ModelDrafter::add_rows(Sequence& sequence, Reading& reading, std::span<const TokenId> tokens,
                            bool samples) {
  BatchSequence entry;
  entry.first_token = static_cast<std::int32_t>(batch_.tokens.size());
  entry.num_tokens = static_cast<std::int32_t>(tokens.size());
  entry.first_position = reading.num_computed + static_cast<std::int32_t>(reading.guessed.size());
  for (std::size_t group = 0; group < cache_->num_groups(); ++group) {
    const std::vector<PageId>& table = reading.held.tables[group];
    entry.page_tables[group] = {.begin = static_cast<std::int32_t>(batch_.page_ids.size()),
                                .count = static_cast<std::int32_t>(table.size())};
    batch_.page_ids.insert(batch_.page_ids.end(), table.begin(), table.end());
  }
  batch_.sequences.push_back(entry);
  for (const TokenId token : tokens) batch_.tokens.push_back(TokenInput::id(token));
  if (samples) {
    SampleSpec spec = sequence.sample_spec(static_cast<std::int32_t>(sequence.draft().tokens.size()));
    spec.logprob = false;
    spec.top_logprobs = 0;
    batch_.samples.push_back({static_cast<std::int32_t>(batch_.tokens.size()) - 1, spec});
  }
  parts_.push_back({&sequence, &reading, samples});
}

// The tokens that the small model has not read, as far as the budget goes.
void ModelDrafter::add_unread(Sequence& sequence, std::int32_t& budget_left) {
  Reading& reading = readings_.at(sequence.id());
  const auto unread = sequence.tokens().subspan(static_cast<std::size_t>(reading.num_computed));
  const auto count = std::min(static_cast<std::int32_t>(unread.size()), budget_left);
  const auto tokens = unread.first(static_cast<std::size_t>(count));
  if (count < 1 || std::ssize(parts_) >= options_.max_running || !is_known(tokens) ||
      !make_room(reading, reading.num_computed + count)) {
    return;
  }
  budget_left -= count;
  add_rows(sequence, reading, tokens, tokens.size() == unread.size());
}

// One more token of a draft.
void ModelDrafter::add_guess(Sequence& sequence, Reading& reading) {
  const TokenId token = sequence.draft().tokens.back().token;
  const auto next = static_cast<std::int32_t>(reading.guessed.size()) + 1;
  if (token >= backend_->info().vocab_size || !make_room(reading, reading.num_computed + next)) return;
  add_rows(sequence, reading, {&token, 1}, true);
}

// Runs batch_ and hands out what it chose.
Result<void> ModelDrafter::run_pass() {
  for (std::size_t group = 0; group < cache_->num_groups(); ++group) {
    if (!cache_->copies(group).empty()) TRY(backend_->copy_pages(group, cache_->copies(group)));
  }
  cache_->copies_done();
  const Backend::StepHandle handle = TRY(backend_->submit(batch_));
  TRY(backend_->collect(handle, result_));
  if (result_.samples.size() != batch_.samples.size())
    return Error(ErrorKind::kInternal, "the draft model chose " + std::to_string(result_.samples.size()) +
                                           " tokens in a step that asked for " +
                                           std::to_string(batch_.samples.size()));
  std::size_t row = 0;
  for (const Part& part : parts_) {
    if (!part.samples) continue;
    const TokenId token = result_.samples[row++].token;
    Draft& draft = part.sequence->draft();
    if (token == kNoToken || token >= options_.vocab_size) {
      draft.most_tokens = static_cast<std::int32_t>(draft.tokens.size());
      continue;
    }
    draft.tokens.push_back({token, Evidence::kDraftModel});
  }
  return {};
}

Result<void> ModelDrafter::propose(std::span<Sequence* const> sequences) {
  ++round_;
  for (Sequence* const sequence : sequences) {
    Draft& draft = sequence->draft();
    draft.most_tokens = std::min(draft.most_tokens, options_.context_tokens - sequence->num_tokens());
    if (draft.most_tokens > 0) take_over_accepted(open(*sequence), *sequence);
  }
  TRY(read_unread(sequences));
  return grow_drafts();
}

// A pass over what the small model has not read; those who have read all of theirs get their first guess and
// go to drafting_.
Result<void> ModelDrafter::read_unread(std::span<Sequence* const> sequences) {
  batch_.clear();
  parts_.clear();
  drafting_.clear();
  std::int32_t budget_left =
      std::min(std::max(kMostUnread, options_.max_running), options_.step_token_budget);
  // A long prompt holds nobody up.
  for (const bool is_long : {false, true}) {
    for (Sequence* const sequence : sequences) {
      if (sequence->draft().most_tokens < 1) continue;
      const std::int32_t unread = sequence->num_tokens() - readings_.at(sequence->id()).num_computed;
      if ((unread > DraftPlanner::kMostDrafts + 1) == is_long) add_unread(*sequence, budget_left);
    }
  }
  if (parts_.empty()) return {};
  TRY(run_pass());
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    Reading& reading = *parts_[i].reading;
    const auto read =
        parts_[i].sequence->tokens().subspan(static_cast<std::size_t>(reading.num_computed),
                                             static_cast<std::size_t>(batch_.sequences[i].num_tokens));
    reading.tokens.insert(reading.tokens.end(), read.begin(), read.end());
    reading.num_computed += static_cast<std::int32_t>(read.size());
    cache_->commit(reading.held, reading.tokens, reading.num_computed, reading.client);
    if (parts_[i].samples) drafting_.push_back(parts_[i]);
  }
  return {};
}

// Passes of one token each until every draft is as long as it was asked to be.
Result<void> ModelDrafter::grow_drafts() {
  while (true) {
    batch_.clear();
    parts_.clear();
    for (const Part& part : drafting_) {
      const Draft& draft = part.sequence->draft();
      if (!draft.tokens.empty() && std::ssize(draft.tokens) < draft.most_tokens)
        add_guess(*part.sequence, *part.reading);
    }
    if (parts_.empty()) return {};
    const TimePoint started = clock_.now();
    TRY(run_pass());
    for (std::size_t i = 0; i < parts_.size(); ++i)
      parts_[i].reading->guessed.push_back(batch_.tokens[i].token());
    const double took = std::chrono::duration<double>(clock_.now() - started).count();
    double& seconds = seconds_[size_class(static_cast<std::int32_t>(parts_.size()), kNumSizes)];
    seconds = seconds > 0.0 ? seconds + kSecondsWeight * (took - seconds) : took;
    drafting_ = parts_;
  }
}

}  // namespace mlxd
