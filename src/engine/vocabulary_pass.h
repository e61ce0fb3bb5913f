// The passes over a whole row of logits that sampling is made of. Results are bit-identical on every machine
// and instruction set: no libm, no contraction, maxima and sums whose order cannot matter (sums are of
// integers). Pure functions.
//
// A token's weight is exp((logit - largest) / temperature) in fixed point: kWeightOne stands for 1, and what
// is below 1 / kWeightOne of the likeliest token has no weight. So sums of weights are exact in any order,
// and leaving out tokens that weigh nothing changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace mlxd {

/// Tokens to a block of the passes.
inline constexpr std::size_t kVocabularyBlock = 64;
/// Weight of the likeliest token. 2^21 tokens of this weight still fit a 64-bit sum.
inline constexpr std::uint64_t kWeightOne = std::uint64_t{1} << 42U;

/// The largest logit of each block of kVocabularyBlock tokens (the last may be shorter); NaN counts as
/// -infinity. `maxima` [ceil(size / kVocabularyBlock)].
void block_maxima(std::span<const float> logits, std::span<float> maxima);

/// weights[i] = weight of logits[i]; `largest` is finite. NaN and -infinity weigh 0.
void token_weights(std::span<const float> logits, float largest, float inverse_temperature,
                   std::span<std::uint64_t> weights);

/// Sum of the weights of at most 2^21 logits.
std::uint64_t total_weight(std::span<const float> logits, float largest, float inverse_temperature);

/// Natural logarithm of a positive finite number, to 1e-15 relative or absolute.
double portable_log(double x);

}  // namespace mlxd
