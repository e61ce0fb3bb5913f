#include "engine/step_check.h"

#include <algorithm>
#include <string>

namespace mlxd {
namespace {

Error bad_step(const std::string& what) { return {ErrorKind::kInternal, "invalid step: " + what}; }

Result<void> check_table(const StepBatch& batch, const BatchSequence& sequence,
                         const BatchSequence::PageTable& table, const PageGroupInfo& group,
                         std::int32_t num_pages) {
  const std::int32_t last_position = sequence.first_position + sequence.num_tokens - 1;
  if (table.begin < 0 || table.count <= last_position / kPageTokens ||
      static_cast<std::size_t>(table.begin) + static_cast<std::size_t>(table.count) > batch.page_ids.size()) {
    return bad_step("page table too short for position " + std::to_string(last_position));
  }
  const std::int32_t first_read =
      first_visible_position(sequence.first_position, group.window_tokens) / kPageTokens;
  const auto may_be_missing = [&](std::int32_t entry) {
    if (!group.is_state) return entry < first_read;
    const bool is_source = sequence.first_position > 0 && entry == first_read;
    return !is_source && entry != last_position / kPageTokens;
  };
  for (std::int32_t i = 0; i < table.count; ++i) {
    const PageId page = batch.page_ids[static_cast<std::size_t>(table.begin + i)];
    if (page == kNoPage && may_be_missing(i)) continue;
    if (page >= static_cast<PageId>(num_pages)) return bad_step("page that is not allocated");
  }
  return {};
}

Result<void> check_tokens(const StepBatch& batch, const BackendInfo& info, std::size_t previous_samples) {
  if (batch.tokens.empty()) return bad_step("no tokens");
  if (batch.tokens.size() > static_cast<std::size_t>(info.max_batch_tokens))
    return bad_step("too many tokens");
  for (const TokenInput token : batch.tokens) {
    const bool valid = token.is_id() ? token.token() < info.vocab_size
                                     : static_cast<std::size_t>(token.previous_row()) < previous_samples;
    if (!valid) return bad_step("token out of range");
  }
  return {};
}

Result<void> check_slice(const StepBatch& batch, const BackendInfo& info) {
  const LayerSlice& slice = batch.slice;
  if (slice.num_sequences == 0) return {};
  if (slice.num_sequences < 0 || static_cast<std::size_t>(slice.num_sequences) > batch.sequences.size())
    return bad_step("a slice of more sequences than there are");
  if (slice.first_layer < 0 || slice.first_layer >= slice.last_layer ||
      slice.last_layer > info.num_sliceable_layers) {
    return bad_step("a slice from layer " + std::to_string(slice.first_layer) + " to " +
                    std::to_string(slice.last_layer) + " of " + std::to_string(info.num_sliceable_layers));
  }
  const auto sliced = std::span(batch.sequences).last(static_cast<std::size_t>(slice.num_sequences));
  std::int32_t free_row = 0;
  for (const BatchSequence& sequence : sliced) {
    if (sequence.kept_row < free_row || sequence.kept_row > info.max_batch_tokens - sequence.num_tokens)
      return bad_step("kept rows out of order or beyond the last one");
    free_row = sequence.kept_row + sequence.num_tokens;
  }
  if (slice.last_layer < info.num_sliceable_layers && !batch.samples.empty() &&
      batch.samples.back().token_index >= sliced.front().first_token) {
    return bad_step("a sample row of a sequence that does not reach the last layer");
  }
  return {};
}

}  // namespace

Result<void> check_step(const StepBatch& batch, const BackendInfo& info, const StepLimits& limits) {
  TRY(check_tokens(batch, info, limits.previous_samples));
  if (batch.sequences.size() > static_cast<std::size_t>(info.max_batch_sequences))
    return bad_step("too many sequences");
  std::int32_t next_token = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    if (sequence.first_token != next_token || sequence.num_tokens <= 0 || sequence.first_position < 0)
      return bad_step("sequences do not cover the tokens in order");
    if (sequence.num_tokens > limits.context_tokens - sequence.first_position) {
      return bad_step("position beyond the context of " + std::to_string(limits.context_tokens) + " tokens");
    }
    if (sequence.adapter != kNoAdapter && std::find(limits.adapters.begin(), limits.adapters.end(),
                                                    sequence.adapter) == limits.adapters.end()) {
      return bad_step("an adapter that is not attached");
    }
    next_token += sequence.num_tokens;
    for (std::size_t group = 0; group < info.page_groups.size(); ++group) {
      TRY(check_table(batch, sequence, sequence.page_tables[group], info.page_groups[group],
                      limits.num_pages[group]));
    }
  }
  if (static_cast<std::size_t>(next_token) != batch.tokens.size())
    return bad_step("tokens without a sequence");
  std::int32_t previous = -1;
  for (const SampleRow& row : batch.samples) {
    if (row.token_index <= previous || row.token_index >= next_token)
      return bad_step("sample rows out of order or without a token");
    previous = row.token_index;
    if (row.spec.scored != kNoToken && (row.spec.scored < 0 || row.spec.scored >= info.vocab_size))
      return bad_step("a token to be scored that is out of range");
  }
  return check_slice(batch, info);
}

}  // namespace mlxd
