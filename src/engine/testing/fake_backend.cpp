#include "engine/testing/fake_backend.h"

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

}  // namespace

FakeBackend::FakeBackend(Options options) : options_(std::move(options)) {
  info_.name = "fake";
  info_.vocab_size = options_.vocab_size;
  info_.max_batch_tokens = options_.max_batch_tokens;
  info_.max_batch_sequences = options_.max_batch_sequences;
  info_.page_groups = {{.page_bytes = kPageTokens * sizeof(Slot)}};
  prefix_.reserve(4096);
}

BackendMemory FakeBackend::memory() const {
  return {.weight_bytes = 0, .page_bytes = slots_.size() * sizeof(Slot), .scratch_bytes = 0};
}

Result<void> FakeBackend::resize_pages(std::size_t /*group*/, std::int32_t num_pages) {
  if (num_pages > options_.max_pages)
    return Error(ErrorKind::kOutOfMemory, "fake backend: " + std::to_string(num_pages) +
                                              " pages asked for, " + std::to_string(options_.max_pages) +
                                              " possible");
  slots_.resize(static_cast<std::size_t>(num_pages) * kPageTokens);
  return {};
}

Result<void> FakeBackend::copy_pages(std::size_t /*group*/, std::span<const PageCopy> copies) {
  for (const PageCopy& copy : copies) {
    for (std::size_t i = 0; i < kPageTokens; ++i)
      slots_[copy.to * kPageTokens + i] = slots_[copy.from * kPageTokens + i];
  }
  return {};
}

Result<Backend::StepHandle> FakeBackend::submit(const StepBatch& batch) {
  if (options_.on_submit) TRY(options_.on_submit(batch));
  if (in_flight_) return wrong("a step is submitted while one is in flight");
  ++step_;
  TRY(check_shape(batch));
  for (const BatchSequence& sequence : batch.sequences) TRY(write_tokens(batch, sequence));
  in_flight_result_.clear();
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
    next_token += sequence.num_tokens;
    const BatchSequence::PageTable& table = sequence.page_tables[0];
    if (table.begin < 0 || table.begin + table.count > std::ssize(batch.page_ids))
      return wrong("a page table lies outside page_ids");
    if (table.count * kPageTokens < sequence.first_position + sequence.num_tokens)
      return wrong("a page table is too short");
  }
  if (next_token != std::ssize(batch.tokens)) return wrong("tokens without a sequence");
  for (const PageId page : batch.page_ids) {
    if (page * kPageTokens >= slots_.size()) return wrong("page " + std::to_string(page) + " does not exist");
  }
  std::int32_t previous = -1;
  for (const SampleRow& row : batch.samples) {
    if (row.token_index <= previous || row.token_index >= next_token) return wrong("samples out of order");
    previous = row.token_index;
  }
  return {};
}

FakeBackend::Slot& FakeBackend::slot(const StepBatch& batch, const BatchSequence& sequence,
                                     std::int32_t position) {
  const auto entry = static_cast<std::size_t>(sequence.page_tables[0].begin + position / kPageTokens);
  return slots_[batch.page_ids[entry] * kPageTokens + static_cast<std::size_t>(position % kPageTokens)];
}

Result<void> FakeBackend::write_tokens(const StepBatch& batch, const BatchSequence& sequence) {
  for (std::int32_t i = 0; i < sequence.num_tokens; ++i) {
    const TokenInput input = batch.tokens[static_cast<std::size_t>(sequence.first_token + i)];
    TokenId token = kNoToken;
    if (input.is_id()) {
      token = input.token();
    } else if (input.previous_row() < std::ssize(previous_samples_)) {
      token = previous_samples_[static_cast<std::size_t>(input.previous_row())].token;
    }
    if (token < 0 || token >= options_.vocab_size) return wrong("token " + std::to_string(token));
    Slot& target = slot(batch, sequence, sequence.first_position + i);
    if (target.written_in_step == step_) return wrong("a slot is written twice in a step");
    target = {token, sequence.first_position + i, step_};
  }
  return {};
}

// prefix_ = the tokens at positions 0 … last_position, as the pages have them.
Result<void> FakeBackend::read_prefix(const StepBatch& batch, const BatchSequence& sequence,
                                      std::int32_t last_position) {
  prefix_.clear();
  for (std::int32_t position = 0; position <= last_position; ++position) {
    const Slot& source = slot(batch, sequence, position);
    if (source.position != position)
      return wrong("position " + std::to_string(position) + " reads a slot written for position " +
                   std::to_string(source.position));
    prefix_.push_back(source.token);
  }
  return {};
}

void FakeBackend::compute_logits() {
  std::uint64_t hash = mix(options_.model_seed);
  for (const TokenId token : prefix_) hash = mix(hash * 31 + static_cast<std::uint64_t>(token) + 1);
  logits_.resize(static_cast<std::size_t>(options_.vocab_size));
  for (std::size_t t = 0; t < logits_.size(); ++t) {
    const auto bits = static_cast<std::uint32_t>(mix(hash + 0x9E3779B97F4A7C15U * (t + 1)) >> 40U);
    logits_[t] = static_cast<float>(bits) * 0x1p-24F * 8.0F - 4.0F;
  }
  if (!options_.script) return;
  const TokenId next = options_.script(prefix_);
  if (next != kNoToken) logits_[static_cast<std::size_t>(next)] = 100.0F;
}

}  // namespace mlxd::testing
