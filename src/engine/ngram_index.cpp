#include "engine/ngram_index.h"

#include <algorithm>
#include <bit>

namespace mlxd {
namespace {

// Occurrences of the last three tokens that are compared, newest first.
constexpr int kMostCandidates = 16;
constexpr std::size_t kLeastSlots = 1024;

// Fibonacci hashing: the high bits of a product depend on all bits of the key.
std::size_t slot_of(std::uint64_t key, std::size_t num_slots) {
  return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15U) >> (64 - std::countr_zero(num_slots)));
}

std::uint64_t bits(TokenId token) { return static_cast<std::uint32_t>(token); }

}  // namespace

std::size_t NgramIndex::pair_slot(std::size_t last) const {
  return slot_of(bits(text_[last]) << 32U | bits(text_[last - 1]), pairs_.size());
}

std::size_t NgramIndex::triple_slot(std::size_t last) const {
  const std::uint64_t pair = bits(text_[last]) << 32U | bits(text_[last - 1]);
  return slot_of(pair ^ bits(text_[last - 2]) * 0xD6E8FEB86659FD93U, triples_.size());
}

void NgramIndex::append(std::span<const TokenId> tokens) {
  if (tokens.size() > kMostTokens / 2) {
    const std::size_t skipped = tokens.size() - kMostTokens / 2;
    num_forgotten_ += text_.size() + skipped;
    text_.clear();
    num_indexed_ = 0;
    resize_tables(0);
    tokens = tokens.subspan(skipped);
  }
  if (text_.size() + tokens.size() > kMostTokens) forget_older_half();
  text_.insert(text_.end(), tokens.begin(), tokens.end());
  earlier_.resize(text_.size());
  if (2 * text_.size() > pairs_.size()) resize_tables(text_.size());
}

void NgramIndex::forget_older_half() {
  const std::size_t half = text_.size() / 2;
  text_.erase(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(half));
  num_forgotten_ += half;
  resize_tables(text_.size());
}

// Empties the tables, with room for twice so many tokens; what they had is indexed again.
void NgramIndex::resize_tables(std::size_t num_tokens) {
  const std::size_t slots = std::clamp(std::bit_ceil(4 * num_tokens), kLeastSlots, 2 * kMostTokens);
  pairs_.assign(slots, 0);
  triples_.assign(slots, 0);
  text_.reserve(slots / 2);
  earlier_.reserve(slots / 2);
  num_indexed_ = 0;
}

void NgramIndex::index_up_to(std::size_t end) {
  for (std::size_t last = std::max<std::size_t>(num_indexed_, 1); last < end; ++last) {
    if (text_[last] == kNoToken || text_[last - 1] == kNoToken) continue;
    pairs_[pair_slot(last)] = static_cast<std::uint32_t>(last) + 1;
    if (last < 2 || text_[last - 2] == kNoToken) continue;
    std::uint32_t& newest = triples_[triple_slot(last)];
    earlier_[last] = newest;
    newest = static_cast<std::uint32_t>(last) + 1;
  }
  num_indexed_ = std::max(num_indexed_, end);
}

// How many tokens up to `position` equal those up to the text's end.
std::int32_t NgramIndex::common_before(std::size_t position) const {
  const std::size_t last = text_.size() - 1;
  std::size_t count = 0;
  while (count < kLongestMatch && count <= position && text_[position - count] == text_[last - count] &&
         text_[position - count] != kNoToken)
    ++count;
  return static_cast<std::int32_t>(count);
}

NgramIndex::Match NgramIndex::find_last() {
  Match best;
  if (text_.size() < 3) return best;
  const std::size_t last = text_.size() - 1;
  // The last tokens themselves come in only after they have been looked for.
  index_up_to(last);
  std::uint32_t found = triples_[triple_slot(last)];
  for (int i = 0; found != 0 && i < kMostCandidates && best.num_tokens < kLongestMatch; ++i) {
    const std::size_t position = found - 1;
    if (const std::int32_t common = common_before(position); common >= 3 && common > best.num_tokens)
      best = {static_cast<std::int32_t>(position) + 1, common};
    found = earlier_[position];
  }
  if (best.num_tokens > 0) return best;
  if (const std::uint32_t pair = pairs_[pair_slot(last)]; pair != 0) {
    const std::size_t position = pair - 1;
    if (const std::int32_t common = common_before(position); common >= 2)
      best = {static_cast<std::int32_t>(position) + 1, common};
  }
  return best;
}

std::size_t NgramIndex::memory_bytes() const {
  return text_.capacity() * sizeof(TokenId) +
         (pairs_.capacity() + triples_.capacity() + earlier_.capacity()) * sizeof(std::uint32_t);
}

}  // namespace mlxd
