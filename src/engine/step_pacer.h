// How many prompt tokens a step may take beside decoding sequences, and through how many of the layers, so
// that the gap between a stream's tokens keeps its bound while others prefill. Learns from the steps' own
// times; a pure calculation, no clock.
//
// Bound: a step with prefill should take at most `gap_ratio` times what a step of the same decodes alone
// takes. The time of a step is taken as
//
//   seconds = decode(num_decodes) + work · per_token
//
// where `work` counts the tokens of a piece of a prompt and some more for the piece itself, in a part of the
// layers as that part, and both terms are moving averages of what was measured in such steps. A few prompt
// tokens ride along with the decodes' pass over the weights for next to nothing, so where a prefill begins a
// token is taken to cost at least what it does in steps that only prefill. Until something has been measured,
// and where nothing decodes, the whole budget is given. Beside decodes the prefill at most doubles from one
// step to the next. It never stops: a step gives it at least kLeastTokens, or a layer.
//
// Few tokens at a time cost more each: weights and keys are fetched and unpacked for each piece anew. So
// where the bound leaves room for few tokens only, many are taken together and go through some of the layers
// in each step (layered prefill, arXiv:2510.08055): the same time beside the decodes, spent on a large piece.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mlxd {

class StepPacer {
 public:
  struct Options {
    std::int32_t step_token_budget = 0;
    double gap_ratio = 3.0;
    std::int32_t num_layers = 1;          // that a step can be cut at; 1: it can't be
    std::int32_t most_sliced_tokens = 0;  // most that go through the layers together over several steps
    std::int32_t piece_tokens = 0;        // BackendInfo::piece_tokens
  };
  static constexpr std::int32_t kLeastTokens = 4;
  static constexpr std::size_t kNumSizes = 12;  // classes of num_decodes that are told apart

  explicit StepPacer(Options options) : options_(options) {}

  struct Prefill {
    std::int32_t tokens = 0;
    std::int32_t layers = 0;  // Options::num_layers: all
  };
  /// Prompt tokens to begin with in a step with these decodes, of `wanted` there are; at most what the budget
  /// leaves.
  Prefill begin_prefill(std::int32_t num_decodes, std::int32_t wanted) const;
  /// Layers that a step with these decodes takes so many tokens further, of those left.
  std::int32_t next_layers(std::int32_t num_decodes, std::int32_t tokens, std::int32_t layers_left) const;
  /// The work of a piece of a prompt that goes through this share of the layers.
  double work(double tokens, double share) const;
  /// What a step took, with `prefill` the work of its prompts. Steps of no measurable time teach nothing.
  void observe(std::int32_t num_decodes, double prefill, double seconds);
  /// What a step took that had more to do than these decodes, but no prefill.
  void observe_at_most(std::int32_t num_decodes, double seconds);

  /// Expected seconds of a step that only decodes; 0 if unknown.
  double decode_seconds(std::int32_t num_decodes) const;
  /// Expected seconds of a row in a step that has some tens of rows more than decodes, as drafts are; 0 if
  /// unknown.
  double extra_row_seconds() const;
  /// Expected seconds of a prompt's unit of work beside decodes; 0 if unknown.
  double prefill_token_seconds() const;

 private:
  double room(std::int32_t num_decodes) const;

  Options options_;
  std::array<double, kNumSizes> decode_{};  // by power of two of num_decodes; 0: unknown
  double per_token_ = 0.0;                  // beside decodes
  double per_token_pure_ = 0.0;             // in steps that only prefill
  bool begins_ = true;                      // the last step had no prefill beside decodes
  double last_mixed_ = 0.0;                 // prefill of the last step that also decoded
};

}  // namespace mlxd
