// Drives a backend step by step without an engine: sequences with their own pages, cut into steps as a test
// likes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend.h"

namespace mlxd::testing {

/// Known tokens of a sequence, the pages that hold them and how many have been run.
struct ScriptedSequence {
  std::vector<TokenId> tokens;
  std::vector<PageId> pages;
  std::int32_t done = 0;
  std::vector<std::vector<PageId>> group_pages{};  // by layer group; empty: `pages` in each
  AdapterId adapter = kNoAdapter;
};

/// Resizes the pages of every layer group.
inline Result<void> resize_pages(Backend& backend, std::int32_t num_pages) {
  for (std::size_t group = 0; group < backend.info().page_groups.size(); ++group)
    TRY(backend.resize_pages(group, num_pages));
  return {};
}

enum class WhichLogits { kNone, kLast, kAll };

/// A sequence's share of a step: its next `num_tokens` tokens.
struct StepPart {
  ScriptedSequence* sequence = nullptr;
  std::int32_t num_tokens = 0;
  WhichLogits logits = WhichLogits::kLast;
};

inline StepBatch make_batch(std::span<const StepPart> parts, const SampleSpec& spec) {
  StepBatch batch;
  for (const StepPart& part : parts) {
    BatchSequence entry;
    entry.first_token = static_cast<std::int32_t>(batch.tokens.size());
    entry.num_tokens = part.num_tokens;
    entry.first_position = part.sequence->done;
    entry.adapter = part.sequence->adapter;
    const auto add_table = [&](const std::vector<PageId>& pages) {
      const auto begin = static_cast<std::int32_t>(batch.page_ids.size());
      batch.page_ids.insert(batch.page_ids.end(), pages.begin(), pages.end());
      return BatchSequence::PageTable{begin, static_cast<std::int32_t>(pages.size())};
    };
    if (part.sequence->group_pages.empty()) {
      entry.page_tables.fill(add_table(part.sequence->pages));
    } else {
      for (std::size_t group = 0; group < part.sequence->group_pages.size(); ++group)
        entry.page_tables[group] = add_table(part.sequence->group_pages[group]);
    }
    for (std::int32_t i = 0; i < part.num_tokens; ++i) {
      const auto index = static_cast<std::size_t>(part.sequence->done + i);
      batch.tokens.push_back(TokenInput::id(part.sequence->tokens[index]));
      const bool last = i + 1 == part.num_tokens;
      if (part.logits == WhichLogits::kAll || (part.logits == WhichLogits::kLast && last)) {
        SampleRow row;
        row.token_index = entry.first_token + i;
        row.spec = spec;
        batch.samples.push_back(row);
      }
    }
    batch.sequences.push_back(entry);
  }
  return batch;
}

/// Runs one step and moves the sequences on. The default asks for the rows' logits.
inline Result<StepResult> run_step(Backend& backend, std::span<const StepPart> parts,
                                   SampleSpec spec = {.want_logits = true}) {
  const StepBatch batch = make_batch(parts, spec);
  const Backend::StepHandle handle = TRY(backend.submit(batch));
  StepResult result;
  TRY(backend.collect(handle, result));
  for (const StepPart& part : parts) part.sequence->done += part.num_tokens;
  return result;
}

/// Runs a whole sequence alone in chunks; the logits of its last token, or of every token.
inline Result<std::vector<float>> run_alone(Backend& backend, ScriptedSequence& sequence, std::int32_t chunk,
                                            WhichLogits which) {
  std::vector<float> logits;
  const auto total = static_cast<std::int32_t>(sequence.tokens.size());
  while (sequence.done < total) {
    const std::int32_t count = chunk < total - sequence.done ? chunk : total - sequence.done;
    const bool last = sequence.done + count == total;
    StepPart part{&sequence, count, which};
    if (which == WhichLogits::kLast && !last) part.logits = WhichLogits::kNone;
    const StepResult result = TRY(run_step(backend, std::span(&part, 1)));
    logits.insert(logits.end(), result.logits.begin(), result.logits.end());
  }
  return logits;
}

/// Runs the rest of a sequence in one piece that goes through `num_layers` in each step; the logits of every
/// token. Only where the backend can cut steps.
inline Result<std::vector<float>> run_in_slices(Backend& backend, ScriptedSequence& sequence,
                                                std::int32_t num_layers) {
  const std::int32_t all = backend.info().num_sliceable_layers;
  const auto count = static_cast<std::int32_t>(sequence.tokens.size()) - sequence.done;
  StepResult result;
  for (std::int32_t first = 0; first < all; first += num_layers) {
    const std::int32_t last = first + num_layers < all ? first + num_layers : all;
    const StepPart part{&sequence, count, last == all ? WhichLogits::kAll : WhichLogits::kNone};
    StepBatch batch = make_batch(std::span(&part, 1), {.want_logits = true});
    batch.slice = {1, first, last};
    const Backend::StepHandle handle = TRY(backend.submit(batch));
    TRY(backend.collect(handle, result));
  }
  sequence.done += count;
  return result.logits;
}

}  // namespace mlxd::testing
