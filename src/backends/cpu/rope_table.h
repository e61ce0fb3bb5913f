// Cosines and sines of rotary position embeddings for any position, from two small tables of unit complex
// numbers in double precision: e^(iθp) = e^(iθ·256·⌊p/256⌋) · e^(iθ·(p mod 256)). A function of the position
// alone, accurate to the last bit of a float, and far cheaper than calling cos and sin for each token.
// Read-only once made: thread-safe.
#pragma once

#include <complex>
#include <cstdint>
#include <vector>

#include "model/model_spec.h"

namespace mlxd {

class RopeTable {
 public:
  /// Positions [0, num_positions).
  RopeTable(const RopeSpec& spec, std::int32_t num_positions);

  std::int32_t num_pairs() const { return num_pairs_; }
  bool traditional() const { return traditional_; }
  /// cosines and sines [num_pairs], times the attention factor.
  void fill(std::int32_t position, float* cosines, float* sines) const;

 private:
  std::int32_t num_pairs_;
  bool traditional_;
  double factor_;
  std::vector<std::complex<double>> coarse_;  // [position / 256, pair]
  std::vector<std::complex<double>> fine_;    // [position % 256, pair]
};

/// What queries at a position are multiplied with.
float position_factor(const PositionScaling& scaling, std::int32_t position);

}  // namespace mlxd
