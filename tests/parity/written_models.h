// Models written tensor by tensor in a test, and whether two of them give the same bits.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "model/model_folder.h"
#include "model/safetensors_writer.h"
#include "step_runner.h"

namespace mlxd::testing {

using Bytes = std::vector<std::byte>;

// Of `base_config`.
constexpr std::int64_t kHidden = 128;
constexpr std::int64_t kIntermediate = 256;
constexpr std::int64_t kVocabulary = 64;

struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  Bytes data;
};

template <typename T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(next() % limit); }
  float between(float low, float high) {
    return low + (high - low) * static_cast<float>(static_cast<double>(next() >> 11U) * 0x1p-53);
  }

 private:
  std::uint64_t state_;
};

/// F32 numbers that its name decides.
inline Tensor dense(const std::string& name, std::vector<std::int64_t> shape, float low, float high) {
  Random random(std::hash<std::string>{}(name));
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(random.between(low, high));
  return {name, DType::kF32, std::move(shape), bytes_of(values)};
}

/// A llama of two layers.
inline boost::json::object base_config() {
  return {{"model_type", "llama"},          {"hidden_size", kHidden},
          {"num_hidden_layers", 2},         {"intermediate_size", kIntermediate},
          {"num_attention_heads", 4},       {"num_key_value_heads", 2},
          {"rms_norm_eps", 1e-5},           {"vocab_size", kVocabulary},
          {"max_position_embeddings", 256}, {"tie_word_embeddings", true}};
}

/// A folder of a configuration and one file of these tensors.
inline void write_tensors(const std::filesystem::path& folder, const boost::json::object& config,
                          const std::vector<Tensor>& tensors) {
  std::filesystem::create_directories(folder);
  std::vector<TensorLayout> layouts;
  for (const Tensor& tensor : tensors) layouts.push_back({tensor.name, tensor.dtype, tensor.shape});
  auto writer = SafetensorsWriter::create(folder / "model.safetensors", layouts);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  for (const Tensor& tensor : tensors)
    ASSERT_TRUE(writer->write(tensor.name, tensor.data).ok()) << tensor.name;
  ASSERT_TRUE(writer->finish().ok());
  std::ofstream(folder / "config.json", std::ios::trunc) << boost::json::serialize(config);
}

/// The logits of 40 tokens, or why it can not be loaded.
inline Result<std::vector<float>> logits_of(const std::filesystem::path& folder, const CpuOptions& options,
                                            const std::optional<Quantization>& at_load = {}) {
  const ModelFolder model = TRY(ModelFolder::open(folder, at_load));
  const std::unique_ptr<CpuBackend> backend = TRY(CpuBackend::load(model, options));
  TRY(resize_pages(*backend, 3));
  ScriptedSequence sequence{{}, {0, 1, 2}};
  for (TokenId i = 0; i < 40; ++i) sequence.tokens.push_back((i * 29 + 7) % kVocabulary);
  return run_alone(*backend, sequence, 17, WhichLogits::kAll);
}

/// In fp32 and on the fast path.
inline void expect_same_bits(const std::filesystem::path& a, const std::filesystem::path& b,
                             const std::optional<Quantization>& at_load = {}) {
  for (const CpuPrecision precision : {CpuPrecision::kReference, CpuPrecision::kFast}) {
    const Result<std::vector<float>> first =
        logits_of(a, {.precision = precision, .num_threads = 2}, at_load);
    const Result<std::vector<float>> second =
        logits_of(b, {.precision = precision, .num_threads = 2}, at_load);
    ASSERT_TRUE(first.ok()) << first.error().message;
    ASSERT_TRUE(second.ok()) << second.error().message;
    ASSERT_EQ(first->size(), second->size());
    EXPECT_EQ(std::memcmp(first->data(), second->data(), first->size() * sizeof(float)), 0);
    EXPECT_TRUE(std::isfinite(first->front()));
  }
}

}  // namespace mlxd::testing
