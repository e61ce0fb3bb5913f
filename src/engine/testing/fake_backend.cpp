#include "engine/testing/fake_backend.h"

#include <algorithm>
#include <string>
#include <utility>

namespace mlxd::testing {
namespace {

Error wrong(const std::string& what) { return Error(ErrorKind::kInternal, "fake backend: " + what); }

// SplitMix64's finalizer: every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

struct FakeAdapter : PreparedAdapter {
  explicit FakeAdapter(std::size_t size) : bytes(size) {}
  std::size_t memory_bytes() const override { return bytes; }
  std::size_t bytes;
};

}  // namespace

FakeBackend::FakeBackend(Options options) : options_(std::move(options)) {
  info_.name = "fake";
  info_.vocab_size = options_.vocab_size;
  info_.max_batch_tokens = options_.max_batch_tokens;
  info_.max_batch_sequences = options_.max_batch_sequences;
  for (const std::int32_t window : options_.windows) {
    if (window == kState)
      info_.page_groups.push_back(
          {.page_bytes = options_.state_page_bytes, .window_tokens = 2, .is_state = true});
    else
      info_.page_groups.push_back({.page_bytes = kPageTokens * sizeof(Slot), .window_tokens = window});
  }
  info_.num_sliceable_layers = options_.num_layers;
  slots_.resize(options_.windows.size());
  states_.resize(options_.windows.size());
  state_hashes_.resize(options_.windows.size());
  while (first_kv_group_ < slots_.size() && is_state(first_kv_group_)) ++first_kv_group_;
  kept_rows_.resize(static_cast<std::size_t>(options_.max_batch_tokens));
  prefix_.reserve(4096);
}

BackendMemory FakeBackend::memory() const {
  std::size_t num_slots = 0;
  for (const auto& group : slots_) num_slots += group.size();
  std::size_t num_states = 0;
  for (const auto& group : states_) num_states += group.size();
  return {.weight_bytes = 0,
          .page_bytes = num_slots * sizeof(Slot) + num_states * options_.state_page_bytes,
          .scratch_bytes = 0,
          .adapter_bytes = adapters_.size() * options_.adapter_bytes};
}

Result<PreparedAdapterPtr> FakeBackend::prepare_adapter(const Adapter& /*adapter*/) const {
  return PreparedAdapterPtr(std::make_shared<FakeAdapter>(options_.adapter_bytes));
}

Result<void> FakeBackend::attach_adapter(AdapterId id, PreparedAdapterPtr adapter) {
  if (in_flight_) return wrong("an adapter is attached while a step is in flight");
  if (adapter == nullptr || id == kNoAdapter) return wrong("no adapter is attached");
  adapters_.push_back(id);
  return {};
}

void FakeBackend::detach_adapter(AdapterId id) { std::erase(adapters_, id); }

Result<void> FakeBackend::resize_pages(std::size_t group, std::int32_t num_pages) {
  if (num_pages > options_.max_pages)
    return Error(ErrorKind::kOutOfMemory, "fake backend: " + std::to_string(num_pages) +
                                              " pages asked for, " + std::to_string(options_.max_pages) +
                                              " possible");
  if (in_flight_) return wrong("pages are resized while a step is in flight");
  if (is_state(group)) {
    StatePage page;
    page.layers.resize(static_cast<std::size_t>(std::max(1, options_.num_layers)));
    states_[group].resize(static_cast<std::size_t>(num_pages), page);
  } else {
    slots_[group].resize(static_cast<std::size_t>(num_pages) * kPageTokens);
  }
  return {};
}

Result<void> FakeBackend::copy_pages(std::size_t group, std::span<const PageCopy> copies) {
  if (in_flight_) return wrong("pages are copied while a step is in flight");
  for (const PageCopy& copy : copies) {
    if (is_state(group)) {
      states_[group][copy.to].layers = states_[group][copy.from].layers;
      continue;
    }
    for (std::size_t i = 0; i < kPageTokens; ++i)
      slots_[group][copy.to * kPageTokens + i] = slots_[group][copy.from * kPageTokens + i];
  }
  return {};
}

Result<Backend::StepHandle> FakeBackend::submit(const StepBatch& batch) {
  if (options_.on_submit) TRY(options_.on_submit(batch));
  if (in_flight_) return wrong("a step is submitted while one is in flight");
  ++step_;
  TRY(check_shape(batch));
  const Layers all{0, std::max(1, options_.num_layers)};
  const Layers sliced{batch.slice.first_layer, batch.slice.last_layer};
  const std::ptrdiff_t num_whole = std::ssize(batch.sequences) - batch.slice.num_sequences;
  for (auto& hashes : state_hashes_) hashes.assign(batch.tokens.size(), 0);
  for (std::ptrdiff_t i = 0; i < std::ssize(batch.sequences); ++i)
    TRY(write_tokens(batch, batch.sequences[static_cast<std::size_t>(i)], i < num_whole ? all : sliced));
  in_flight_result_.clear();
  for (TokenConstraint* const masks : batch.masks) masks->compute_masks();
  auto sequence = batch.sequences.begin();
  for (const SampleRow& row : batch.samples) {
    while (row.token_index >= sequence->first_token + sequence->num_tokens) ++sequence;
    TRY(read_prefix(batch, *sequence, sequence->first_position + row.token_index - sequence->first_token));
    compute_logits();
    if (row.spec.want_logits)
      in_flight_result_.logits.insert(in_flight_result_.logits.end(), logits_.begin(), logits_.end());
    in_flight_result_.samples.push_back(sampler_.sample(row.spec, logits_, in_flight_result_.top_logprobs));
  }
  previous_samples_ = in_flight_result_.samples;
  in_flight_ = step_;
  return step_;
}

Result<void> FakeBackend::collect(StepHandle handle, StepResult& result) {
  if (in_flight_ != handle) return wrong("collected a step that is not in flight");
  in_flight_.reset();
  if (options_.on_collect) TRY(options_.on_collect());
  result = in_flight_result_;
  return {};
}

Result<void> FakeBackend::check_shape(const StepBatch& batch) const {
  if (batch.tokens.empty()) return wrong("empty step");
  if (std::ssize(batch.tokens) > options_.max_batch_tokens)
    return wrong(std::to_string(batch.tokens.size()) + " tokens in a step");
  if (std::ssize(batch.sequences) > options_.max_batch_sequences)
    return wrong(std::to_string(batch.sequences.size()) + " sequences in a step");
  std::int32_t next_token = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    if (sequence.first_token != next_token || sequence.num_tokens < 1)
      return wrong("sequences do not cover the tokens in order");
    if (sequence.adapter != kNoAdapter &&
        std::find(adapters_.begin(), adapters_.end(), sequence.adapter) == adapters_.end()) {
      return wrong("adapter " + std::to_string(sequence.adapter) + " is not attached");
    }
    next_token += sequence.num_tokens;
    for (std::size_t group = 0; group < slots_.size(); ++group) TRY(check_table(batch, sequence, group));
  }
  if (next_token != std::ssize(batch.tokens)) return wrong("tokens without a sequence");
  std::int32_t previous = -1;
  for (const SampleRow& row : batch.samples) {
    if (row.token_index <= previous || row.token_index >= next_token) return wrong("samples out of order");
    if (row.spec.scored < kNoToken || row.spec.scored >= options_.vocab_size)
      return wrong("token " + std::to_string(row.spec.scored) + " is to be scored");
    previous = row.token_index;
  }
  return check_slice(batch);
}

Result<void> FakeBackend::check_slice(const StepBatch& batch) const {
  const LayerSlice& slice = batch.slice;
  if (slice.num_sequences == 0) return {};
  if (slice.num_sequences < 0 || slice.num_sequences > std::ssize(batch.sequences) || slice.first_layer < 0 ||
      slice.first_layer >= slice.last_layer || slice.last_layer > options_.num_layers) {
    return wrong("a slice of layers " + std::to_string(slice.first_layer) + " to " +
                 std::to_string(slice.last_layer));
  }
  return {};
}

Result<void> FakeBackend::check_table(const StepBatch& batch, const BatchSequence& sequence,
                                      std::size_t group) const {
  const BatchSequence::PageTable& table = sequence.page_tables[group];
  if (table.begin < 0 || table.begin + table.count > std::ssize(batch.page_ids))
    return wrong("a page table lies outside page_ids");
  if (table.count * kPageTokens < sequence.first_position + sequence.num_tokens)
    return wrong("a page table is too short");
  const std::int32_t window = options_.windows[group];
  for (std::int32_t i = 0; i < table.count; ++i) {
    const PageId page = batch.page_ids[static_cast<std::size_t>(table.begin + i)];
    if (is_state(group)) {
      if (page != kNoPage && page >= states_[group].size())
        return wrong("page " + std::to_string(page) + " of states does not exist");
    } else if (page == kNoPage) {
      if (window == 0 || (i + 1) * kPageTokens > sequence.first_position - window + 1)
        return wrong("a page that is still seen was let go");
    } else if (page * kPageTokens >= slots_[group].size()) {
      return wrong("page " + std::to_string(page) + " does not exist");
    }
  }
  return {};
}

FakeBackend::Slot& FakeBackend::slot(const StepBatch& batch, const BatchSequence& sequence, std::size_t group,
                                     std::int32_t position) {
  const auto entry = static_cast<std::size_t>(sequence.page_tables[group].begin + position / kPageTokens);
  return slots_[group]
               [batch.page_ids[entry] * kPageTokens + static_cast<std::size_t>(position % kPageTokens)];
}

Result<void> FakeBackend::write_tokens(const StepBatch& batch, const BatchSequence& sequence, Layers layers) {
  for (std::int32_t i = 0; i < sequence.num_tokens; ++i) {
    const TokenInput input = batch.tokens[static_cast<std::size_t>(sequence.first_token + i)];
    TokenId token = kNoToken;
    if (input.is_id()) {
      token = input.token();
    } else if (input.previous_row() < std::ssize(previous_samples_)) {
      token = previous_samples_[static_cast<std::size_t>(input.previous_row())].token;
    }
    if (token < 0 || token >= options_.vocab_size) return wrong("token " + std::to_string(token));
    const std::int32_t position = sequence.first_position + i;
    if (layers.first > 0 || layers.last < options_.num_layers) {
      KeptRow& kept = kept_rows_.at(static_cast<std::size_t>(sequence.kept_row + i));
      if (layers.first > 0 &&
          (kept.token != token || kept.position != position || kept.layers != layers.first)) {
        return wrong("kept row " + std::to_string(sequence.kept_row + i) + " is not that of position " +
                     std::to_string(position) + " after layer " + std::to_string(layers.first));
      }
      kept = {token, position, layers.last};
    }
    for (std::size_t group = 0; group < slots_.size(); ++group) {
      if (!is_state(group)) TRY(write_token(batch, sequence, group, position, token, layers));
    }
  }
  for (std::size_t group = 0; group < slots_.size(); ++group) {
    if (is_state(group)) TRY(run_states(batch, sequence, group, layers));
  }
  return {};
}

// A page that a sequence of the step writes is no other's in that step.
Result<FakeBackend::StatePage*> FakeBackend::use_state_page(const StepBatch& batch,
                                                            const BatchSequence& sequence, std::size_t group,
                                                            std::int32_t entry, bool writes) {
  const auto index = static_cast<std::size_t>(sequence.page_tables[group].begin + entry);
  const PageId id = batch.page_ids[index];
  if (id == kNoPage) return wrong("no page for the state in entry " + std::to_string(entry));
  StatePage& page = states_[group][id];
  const bool is_used = page.used_in_step == step_;
  if (is_used && page.user != sequence.first_token && (writes || page.is_written))
    return wrong("a state of two sequences is written");
  page.is_written = writes || (is_used && page.is_written);
  page.used_in_step = step_;
  page.user = sequence.first_token;
  return &page;
}

// The state of a layer that a sequence goes on from.
Result<FakeBackend::State> FakeBackend::read_state(const StepBatch& batch, const BatchSequence& sequence,
                                                   std::size_t group, Layers layers, std::int32_t layer) {
  const std::int32_t before = sequence.first_position - 1;
  if (before < 0) return State{0, mix(options_.model_seed)};
  const StatePage& page = *TRY(use_state_page(batch, sequence, group, before / kPageTokens, false));
  const State& state = page.layers[static_cast<std::size_t>(layer)];
  if (state.num_tokens != sequence.first_position)
    return wrong("position " + std::to_string(sequence.first_position) + " goes on from a state after " +
                 std::to_string(state.num_tokens) + " tokens");
  if (layers.first == 0 &&
      std::any_of(page.layers.begin(), page.layers.end(), [&](const State& other) { return other != state; }))
    return wrong("the layers' states are not those of one prefix");
  for (std::size_t other = 0; other < slots_.size(); ++other) {
    if (!is_state(other) && slot(batch, sequence, other, before).prefix_hash != state.hash)
      return wrong("position " + std::to_string(sequence.first_position) + " goes on from another's state");
  }
  return state;
}

Result<void> FakeBackend::run_states(const StepBatch& batch, const BatchSequence& sequence, std::size_t group,
                                     Layers layers) {
  std::vector<State> states;  // by layer; all are read before any is written, as pages may be the same
  for (std::int32_t layer = layers.first; layer < layers.last; ++layer)
    states.push_back(TRY(read_state(batch, sequence, group, layers, layer)));
  for (std::int32_t i = 0; i < sequence.num_tokens; ++i) {
    const auto token_index = static_cast<std::size_t>(sequence.first_token + i);
    const TokenInput input = batch.tokens[token_index];
    const TokenId token = input.is_id()
                              ? input.token()
                              : previous_samples_[static_cast<std::size_t>(input.previous_row())].token;
    for (State& state : states)
      state = {state.num_tokens + 1, mix(state.hash * 31 + static_cast<std::uint64_t>(token) + 1)};
    state_hashes_[group][token_index] = states.back().hash;
    const std::int32_t end = sequence.first_position + i + 1;
    const std::int32_t entry = (end - 1) / kPageTokens;
    const bool is_last = i + 1 == sequence.num_tokens;
    const auto place = static_cast<std::size_t>(sequence.page_tables[group].begin + entry);
    if (!is_last && (end % kPageTokens != 0 || batch.page_ids[place] == kNoPage)) continue;
    StatePage& page = *TRY(use_state_page(batch, sequence, group, entry, true));
    std::copy(states.begin(), states.end(), page.layers.begin() + layers.first);
  }
  return {};
}

Result<void> FakeBackend::write_token(const StepBatch& batch, const BatchSequence& sequence,
                                      std::size_t group, std::int32_t position, TokenId token,
                                      Layers layers) {
  Slot& target = slot(batch, sequence, group, position);
  if (target.written_in_step == step_) return wrong("a slot is written twice in a step");
  if (layers.first > 0 &&
      (target.token != token || target.position != position || target.layers != layers.first)) {
    return wrong("the slot of position " + std::to_string(position) + " has not been through layer " +
                 std::to_string(layers.first));
  }
  std::uint64_t before = mix(options_.model_seed + 0x51ED2701U * sequence.adapter);
  if (position > 0) {
    const Slot& previous = slot(batch, sequence, group, position - 1);
    if (previous.position != position - 1 || previous.layers < layers.last)
      return wrong("a token is written after one that is not there");
    if (previous.adapter != sequence.adapter)
      return wrong("a token of one adapter is written after one of another");
    before = previous.prefix_hash;
  }
  target = {token,       position,        step_, mix(before * 31 + static_cast<std::uint64_t>(token) + 1),
            layers.last, sequence.adapter};
  return {};
}

// hash_ = what slots and states say that positions 0 … last_position see; prefix_ = the tokens of them of the
// first group with slots.
Result<void> FakeBackend::read_prefix(const StepBatch& batch, const BatchSequence& sequence,
                                      std::int32_t last_position) {
  prefix_.clear();
  hash_ = 0;
  const auto token_index =
      static_cast<std::size_t>(sequence.first_token + last_position - sequence.first_position);
  for (std::size_t group = 0; group < slots_.size(); ++group) {
    if (is_state(group)) {
      hash_ = mix(hash_ * 31 + state_hashes_[group][token_index]);
      continue;
    }
    const std::int32_t window = options_.windows[group];
    for (std::int32_t position = window > 0 ? std::max(0, last_position - window + 1) : 0;
         position <= last_position; ++position) {
      const Slot& source = slot(batch, sequence, group, position);
      if (source.layers < options_.num_layers)
        return wrong("position " + std::to_string(position) + " has not been through all layers");
      if (source.position != position)
        return wrong("position " + std::to_string(position) + " reads a slot written for position " +
                     std::to_string(source.position));
      if (source.adapter != sequence.adapter)
        return wrong("position " + std::to_string(position) + " reads a slot of another adapter");
      if (group == first_kv_group_) prefix_.push_back(source.token);
      hash_ = mix(hash_ * 31 + source.prefix_hash + static_cast<std::uint64_t>(source.token));
    }
  }
  return {};
}

void FakeBackend::compute_logits() {
  logits_.resize(static_cast<std::size_t>(options_.vocab_size));
  for (std::size_t t = 0; t < logits_.size(); ++t) {
    const auto bits = static_cast<std::uint32_t>(mix(hash_ + 0x9E3779B97F4A7C15U * (t + 1)) >> 40U);
    logits_[t] = static_cast<float>(bits) * 0x1p-24F * 8.0F - 4.0F;
  }
  if (!options_.script) return;
  const TokenId next = options_.script(prefix_);
  if (next != kNoToken) logits_[static_cast<std::size_t>(next)] = options_.script_logit;
}

}  // namespace mlxd::testing
