// Tiny llama model folders with random weights, for tests of anything that loads or runs a model. Complete:
// config, generation_config, safetensors and a byte-level tokenizer with a chat template, so they can be
// served too. The same options give the same bytes on every machine. Not part of the product.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "model/tensor.h"

namespace mlxd::testing {

struct SyntheticModelOptions {
  std::uint64_t seed = 1;
  std::int32_t hidden_size = 64;
  std::int32_t num_layers = 2;
  std::int32_t num_heads = 4;
  std::int32_t num_kv_heads = 2;
  std::int32_t head_dim = 16;
  std::int32_t intermediate_size = 128;
  std::int32_t vocab_size = 320;  // at least 259: 256 bytes and three special tokens
  std::int32_t context_tokens = 512;
  double rope_theta = 10000.0;
  bool rope_traditional = false;
  bool tied_embeddings = true;
  bool attention_bias = false;
  bool mlp_bias = false;
  /// Affine codes of 2, 3, 4, 5, 6 or 8 bits; 0: dense. group_size divides every input size. In another mode,
  /// bits and group_size are those of the mode.
  std::int32_t bits = 4;
  std::int32_t group_size = 32;
  QuantizationMode mode = QuantizationMode::kAffine;
  /// Bits of the embedding (and of an untied head) if they differ: a mixed model.
  std::int32_t embedding_bits = -1;
  /// F32, F16 or BF16: dense weights, scales, biases and norms.
  DType dtype = DType::kBF16;
  std::string model_type = "llama";        // or "mistral"
  std::int32_t sliding_window = 0;         // 0: not in the configuration
  std::vector<std::string> layer_types{};  // empty: not in the configuration
};

/// Token ids of the tokenizer: byte b is token b.
inline constexpr std::int32_t kSyntheticEosToken = 256;        // <|endoftext|>
inline constexpr std::int32_t kSyntheticTurnStartToken = 257;  // <|im_start|>
inline constexpr std::int32_t kSyntheticTurnEndToken = 258;    // <|im_end|>

/// Writes the model into FOLDER, which is created; files of the same names are replaced.
Result<void> write_synthetic_model(const std::filesystem::path& folder, const SyntheticModelOptions& options);

/// A folder of its own under the system's temporary one, removed with the object. One owner.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace mlxd::testing
