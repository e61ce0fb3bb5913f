// Recurrent layers of the reference executor: one plain loop per formula of RecurrentSpec.
#pragma once

#include <cstddef>
#include <vector>

#include "backends/cpu/executor.h"
#include "backends/cpu/kv_pages.h"
#include "backends/cpu/recurrent_weights.h"
#include "model/model_spec.h"

namespace mlxd {

class ReferenceRecurrence {
 public:
  /// Room for steps of `rows` tokens.
  void reserve(const ModelSpec& spec, std::size_t rows);
  std::size_t memory_bytes() const;

  /// Begins a layer's step; then come its projections, into the members below.
  void begin(const RecurrentSpec& spec, std::size_t rows);
  /// `outputs` of one sequence's tokens, and its states.
  void run(const StepInput& step, const BatchSequence& sequence, const KvPages& pages,
           const RecurrentWeights& weights);

  std::vector<float> inputs;         // [rows, channels], gated
  std::vector<float> gates;          // [rows, inner]
  std::vector<float> decays, betas;  // [rows, heads]
  std::vector<float> outputs;        // [rows, inner]
  std::vector<float> scratch;        // [rows, widest projection]

 private:
  void run_token(std::size_t row, const RecurrentWeights& weights);
  void run_head(std::size_t row, std::size_t head, const RecurrentWeights& weights);
  void normalize_outputs(float* out, const RecurrentWeights& weights) const;

  const RecurrentSpec* spec_ = nullptr;
  std::vector<float> state_;  // of the sequence at hand
  std::vector<float> mixed_;  // [channels]: a token's, convolved
};

}  // namespace mlxd
