// The small tensors of a recurrent layer in fp32, as both executors use them, and what they make of a token's
// rates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "backends/cpu/dense_weights.h"
#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

struct RecurrentWeights {
  std::vector<float> conv;       // [kernel, channels]: taps, the oldest input's first
  std::vector<float> conv_bias;  // [channels], or empty
  std::vector<float> a;          // [heads]: exp(A_log)
  std::vector<float> dt_bias;    // [heads]
  std::vector<float> skip;       // [heads], or empty
  std::optional<DenseNorm> norm;

  /// Errors: kCorruptData.
  static Result<RecurrentWeights> read(const RecurrentSpec& spec, const WeightMap& weights);
  std::size_t num_floats() const;

  struct Rates {
    float decay = 0.0F;   // what multiplies the state
    float factor = 0.0F;  // what multiplies a change of it: β or Δ
  };
  /// A head's rates of what the decay and beta projections give for a token; `beta` is not read where there
  /// is none.
  Rates rates(const RecurrentSpec& spec, std::int32_t head, float decay, float beta) const;
};

}  // namespace mlxd
