// One step's work for a backend and what comes back. Plain values, reused between steps: vectors keep their
// capacity, so a steady state allocates nothing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "generation/adapter_lease.h"
#include "generation/token.h"
#include "generation/token_constraint.h"

namespace mlxd {

/// Index of a page of kPageTokens KV positions in the backend's memory.
using PageId = std::uint32_t;

/// In a page table: nothing there, and nothing will read it (it lies behind the group's window).
inline constexpr PageId kNoPage = 0xFFFFFFFFU;

inline constexpr std::int32_t kPageTokens = 32;
inline constexpr std::size_t kMaxLayerGroups = 4;

/// A row's input token: an id, or what sample row `k` of the previous submitted step chose (so that a device
/// can be given a step before the last one's tokens are known).
class TokenInput {
 public:
  static TokenInput id(TokenId token) { return TokenInput(token); }
  static TokenInput previous_sample(std::int32_t k) { return TokenInput(-1 - k); }
  bool is_id() const { return value_ >= 0; }
  TokenId token() const { return value_; }
  std::int32_t previous_row() const { return -1 - value_; }

 private:
  explicit TokenInput(std::int32_t value) : value_(value) {}
  std::int32_t value_;
};

/// A sequence's slice of the step: tokens [first_token, first_token + num_tokens) of StepBatch::tokens at
/// positions first_position, first_position + 1, … Its K/V are written to its pages, and every token attends
/// to all positions up to its own. Pages of recurrent layers: PageGroupInfo::is_state.
struct BatchSequence {
  std::int32_t first_token = 0;
  std::int32_t num_tokens = 0;
  std::int32_t first_position = 0;
  /// Per layer group: where its page table starts in StepBatch::page_ids and how many pages it has; position
  /// p lies in entry p / kPageTokens. Entries wholly behind the group's window may be kNoPage.
  struct PageTable {
    std::int32_t begin = 0;
    std::int32_t count = 0;
  };
  std::array<PageTable, kMaxLayerGroups> page_tables{};
  /// Of a sequence in a LayerSlice: its tokens' residual stream is kept in rows [kept_row, kept_row +
  /// num_tokens) of the backend's [max_batch_tokens] from the step that ends at a layer to the one that goes
  /// on from there.
  std::int32_t kept_row = 0;
  AdapterId adapter = kNoAdapter;  // attached to the backend; the same for all of a sequence's tokens
};

/// The last sequences of a step may run some of the layers only, and the others in later steps: so a long
/// piece of a prompt is computed between the steps of those who decode. K/V of the layers run are in the
/// pages, and pages may be moved in between, but nothing attends to these positions before all layers are
/// done. Only where BackendInfo::num_sliceable_layers says so.
struct LayerSlice {
  std::int32_t num_sequences = 0;  // 0: all sequences run all layers
  std::int32_t first_layer = 0;    // 0: begins; else as far as these rows were kept
  std::int32_t last_layer = 0;     // not included; the number of layers: ends, and may sample
};

struct TokenCount {
  TokenId token = kNoToken;
  std::int32_t generated = 0;  // times generated
  bool in_prompt = false;
};

struct SampleBias {
  TokenId token = kNoToken;
  float bias = 0.0F;
};

/// How to choose a row's token; see SamplingParams for meaning and order. Spans are valid until collect
/// returns.
struct SampleSpec {
  float temperature = 0.0F;
  float top_p = 1.0F;
  float min_p = 0.0F;
  std::int32_t top_k = 0;
  float repetition_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::uint64_t seed = 0;
  /// Random draws are a function of (seed, choice, position) alone.
  std::uint32_t choice = 0;
  std::int32_t position = 0;             // of the token being chosen
  std::span<const TokenCount> counts{};  // tokens seen so far; empty if no penalty is on
  std::span<const SampleBias> bias{};
  /// Bit t: token t is allowed; empty: all are. Of a constraint of StepBatch::masks it holds once that has
  /// computed it.
  std::span<const std::uint32_t> mask{};
  bool logprob = false;
  std::int32_t top_logprobs = 0;
  /// If set, nothing is chosen: the row gives this token and its log-probability, which `logprob` asks for,
  /// and all that bears on choosing is of no meaning.
  TokenId scored = kNoToken;
  /// Copy the row's raw logits to StepResult::logits (tests, scoring).
  bool want_logits = false;
};

struct SampleRow {
  std::int32_t token_index = 0;  // into StepBatch::tokens
  SampleSpec spec;
};

struct StepBatch {
  std::vector<TokenInput> tokens;
  std::vector<BatchSequence> sequences;  // in order of first_token, covering all tokens
  std::vector<PageId> page_ids;
  std::vector<SampleRow> samples;  // in order of token_index
  /// Each is to compute its masks once before its rows are sampled, by whatever thread has time: they differ
  /// in time by a factor of a hundred.
  std::vector<TokenConstraint*> masks;
  LayerSlice slice;

  void clear() {
    tokens.clear();
    sequences.clear();
    page_ids.clear();
    samples.clear();
    masks.clear();
    slice = {};
  }
};

struct SampledToken {
  TokenId token = kNoToken;
  float logprob = 0.0F;                // set if asked
  std::int32_t first_top_logprob = 0;  // into StepResult::top_logprobs
  std::int32_t num_top_logprobs = 0;
};

struct StepResult {
  std::vector<SampledToken> samples;       // one per StepBatch::samples
  std::vector<TokenLogprob> top_logprobs;  // per row: most probable first
  std::vector<float> logits;               // [rows that asked, vocab_size], in order

  void clear() {
    samples.clear();
    top_logprobs.clear();
    logits.clear();
  }
};

}  // namespace mlxd
