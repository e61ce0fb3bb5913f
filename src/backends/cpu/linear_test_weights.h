// Random linear layers as a real safetensors file, for tests and micro-benchmarks of the weight products.
// Aborts on any failure.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

#include "base/check.h"
#include "model/float_formats.h"
#include "model/model_spec.h"
#include "model/safetensors_writer.h"
#include "model/weight_map.h"

namespace mlxd {

/// How a layer is stored.
struct TestFormat {
  std::int32_t bits = 4;  // 0: dense
  std::int32_t group_size = 64;
  DType scalar_type = DType::kBF16;                   // of the floats: scales, biases, dense values
  QuantizationMode mode = QuantizationMode::kAffine;  // if bits is not 0; the others have U8 scales
};

inline constexpr TestFormat kMxfp4Format = {4, 32, DType::kBF16, QuantizationMode::kMxfp4};
inline constexpr TestFormat kMxfp8Format = {8, 32, DType::kBF16, QuantizationMode::kMxfp8};
inline constexpr TestFormat kNvfp4Format = {4, 16, DType::kBF16, QuantizationMode::kNvfp4};

inline std::string describe(const TestFormat& format) {
  const std::string type(to_string(format.scalar_type));
  if (format.bits == 0) return "dense " + type;
  if (format.mode != QuantizationMode::kAffine) return std::string(to_string(format.mode));
  return std::to_string(format.bits) + " bits, group " + std::to_string(format.group_size) + ", " + type;
}

/// Collects layers in memory; `open` writes them to a folder that lives as long as the object.
class TestWeights {
 public:
  explicit TestWeights(std::uint64_t seed) : random_(seed) {
    static std::atomic<int> counter = 0;
    folder_ = std::filesystem::temp_directory_path() /
              ("mlxd-linear-" + std::to_string(getpid()) + "-" + std::to_string(counter++));
    std::filesystem::create_directories(folder_);
  }
  ~TestWeights() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  TestWeights(const TestWeights&) = delete;
  TestWeights& operator=(const TestWeights&) = delete;

  /// Weights of about the size that real models have: y is of the size of x.
  LinearSpec add(const std::string& name, std::int32_t out, std::int32_t in, const TestFormat& format,
                 bool has_bias = false) {
    LinearSpec spec;
    spec.name = name;
    spec.in_features = in;
    spec.out_features = out;
    spec.has_bias = has_bias;
    if (format.bits == 0) {
      add_floats(name + ".weight", format.scalar_type, {out, in}, -0.05F, 0.05F);
    } else {
      spec.quantization = {format.mode, format.bits, format.group_size};
      const std::int64_t words = std::int64_t{in} * format.bits / 32;
      Tensor codes{name + ".weight", DType::kU32, {out, words}, {}};
      codes.data.resize(static_cast<std::size_t>(out * words) * 4);
      for (std::size_t i = 0; i + 8 <= codes.data.size(); i += 8) {
        const std::uint64_t value = random_();
        std::memcpy(codes.data.data() + i, &value, 8);
      }
      const std::int64_t groups = in / format.group_size;
      if (format.mode == QuantizationMode::kAffine) {
        const float step = 0.1F / static_cast<float>(1 << format.bits);
        add_floats(name + ".scales", format.scalar_type, {out, groups}, step / 2, step);
        add_floats(name + ".biases", format.scalar_type, {out, groups}, -0.06F, -0.03F);
      } else {
        if (format.mode == QuantizationMode::kMxfp8) remove_nans(codes.data);
        add_byte_scales(name + ".scales", format.mode, out, groups);
      }
      tensors_.push_back(std::move(codes));
    }
    if (has_bias) add_floats(name + ".bias", format.scalar_type, {out}, -1.0F, 1.0F);
    return spec;
  }

  /// The bytes of a tensor added before, to change.
  std::vector<std::byte>& data(const std::string& tensor) { return find(tensor)->data; }
  void remove(const std::string& tensor) { tensors_.erase(find(tensor)); }
  void reshape(const std::string& tensor, DType dtype, std::vector<std::int64_t> shape) {
    Tensor& found = *find(tensor);
    std::int64_t elements = 1;
    for (const std::int64_t size : shape) elements *= size;
    found.dtype = dtype;
    found.shape = std::move(shape);
    found.data.resize(static_cast<std::size_t>(elements) * size_of(dtype));
  }

  WeightMap open() {
    std::vector<TensorLayout> layouts;
    for (const Tensor& tensor : tensors_) layouts.push_back({tensor.name, tensor.dtype, tensor.shape});
    auto writer = SafetensorsWriter::create(folder_ / "model.safetensors", std::move(layouts));
    CHECK(writer.ok());
    for (const Tensor& tensor : tensors_) CHECK(writer->write(tensor.name, tensor.data).ok());
    CHECK(writer->finish().ok());
    auto map = WeightMap::open(folder_);
    CHECK(map.ok());
    return map.take_value();
  }

 private:
  struct Tensor {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> data;
  };

  std::vector<Tensor>::iterator find(const std::string& name) {
    const auto found =
        std::find_if(tensors_.begin(), tensors_.end(), [&](const Tensor& t) { return t.name == name; });
    CHECK(found != tensors_.end());
    return found;
  }

  static void remove_nans(std::vector<std::byte>& numbers) {
    for (std::byte& number : numbers) {
      if ((number & std::byte{0x7F}) == std::byte{0x7F}) number ^= std::byte{1};
    }
  }

  /// Of a few neighbouring powers of two or e4m3 numbers.
  void add_byte_scales(const std::string& name, QuantizationMode mode, std::int64_t out,
                       std::int64_t groups) {
    Tensor tensor{name, DType::kU8, {out, groups}, {}};
    tensor.data.resize(static_cast<std::size_t>(out * groups));
    for (std::byte& scale : tensor.data) {
      const auto random = static_cast<unsigned>(random_() >> 32U);
      scale = static_cast<std::byte>(mode == QuantizationMode::kMxfp4   ? 119U + random % 4U
                                     : mode == QuantizationMode::kMxfp8 ? 112U + random % 4U
                                                                        : 0x03U + random % 8U);
    }
    tensors_.push_back(std::move(tensor));
  }

  void add_floats(const std::string& name, DType dtype, std::vector<std::int64_t> shape, float low,
                  float high) {
    Tensor tensor{name, dtype, std::move(shape), {}};
    std::size_t elements = 1;
    for (const std::int64_t size : tensor.shape) elements *= static_cast<std::size_t>(size);
    tensor.data.resize(elements * size_of(dtype));
    std::uniform_real_distribution<float> uniform(low, high);
    for (std::size_t i = 0; i < elements; ++i) {
      const float value = uniform(random_);
      if (dtype == DType::kF32) {
        std::memcpy(tensor.data.data() + 4 * i, &value, 4);
      } else {
        const std::uint16_t bits = dtype == DType::kF16 ? float_to_half(value) : float_to_bfloat16(value);
        std::memcpy(tensor.data.data() + 2 * i, &bits, 2);
      }
    }
    tensors_.push_back(std::move(tensor));
  }

  std::mt19937_64 random_;
  std::vector<Tensor> tensors_;
  std::filesystem::path folder_;
};

}  // namespace mlxd
