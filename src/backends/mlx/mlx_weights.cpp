#include "backends/mlx/mlx_weights.h"

#include <mlx/ops.h>
#include <mlx/transforms.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

namespace mlxd {
namespace {

namespace mx = mlx::core;

mx::Shape shape_of(const TensorView& tensor) {
  mx::Shape shape;
  for (const std::int64_t size : tensor.shape) shape.push_back(static_cast<mx::ShapeElem>(size));
  return shape;
}

Result<mx::Dtype> dtype_of(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF32:
      return mx::float32;
    case DType::kF16:
      return mx::float16;
    case DType::kBF16:
      return mx::bfloat16;
    case DType::kU32:
      return mx::uint32;
    case DType::kU8:
    case DType::kF8E4M3:
    case DType::kF8E8M0:
      return mx::uint8;  // scales of small floats
    default:
      return unsupported("tensor " + tensor.name + " is of type " + std::string(to_string(tensor.dtype)) +
                         "; expected F16, BF16, F32, U32 or U8");
  }
}

class Reader {
 public:
  Reader(const WeightMap& weights, const mx::Stream& stream) : weights_(weights), stream_(stream) {}

  std::size_t num_bytes() const { return num_bytes_; }

  Result<mx::array> read(const std::string& name) {
    const TensorView& tensor = *TRY(weights_.get(name));
    const mx::Dtype dtype = TRY(dtype_of(tensor));
    // Mapped data may have any alignment, and the map will go.
    void* copy = std::malloc(std::max<std::size_t>(tensor.data.size(), 1));
    if (copy == nullptr) return Error(ErrorKind::kOutOfMemory, "no memory for tensor " + name);
    std::memcpy(copy, tensor.data.data(), tensor.data.size());
    weights_.drop_pages(tensor);
    mx::array values(copy, shape_of(tensor), dtype, [](void* data) { std::free(data); });
    if (dtype != mx::uint32 && dtype != mx::uint8) {
      values = mx::astype(values, mx::float32, stream_);
      mx::array finite = mx::all(mx::isfinite(values, stream_), stream_);
      mx::eval({values, finite});
      if (!finite.item<bool>())
        return corrupt_data("tensor " + name + " contains NaN or infinity; get the model again");
    }
    num_bytes_ += values.nbytes();
    return values;
  }

  Result<MlxLinear> read(const LinearSpec& spec) {
    mx::array weight = TRY(read(spec.name + ".weight"));
    MlxLinear linear{std::move(weight), {}, {}, {}, spec.quantization};
    if (spec.quantization.mode != QuantizationMode::kNone) {
      linear.scales = TRY(read(spec.name + ".scales"));
    }
    if (spec.quantization.mode == QuantizationMode::kAffine) {
      linear.biases = TRY(read(spec.name + ".biases"));
    }
    if (spec.has_bias) linear.bias = TRY(read(spec.name + ".bias"));
    return linear;
  }

  Result<mx::array> read(const NormSpec& spec) {
    mx::array weight = TRY(read(spec.name + ".weight"));
    if (spec.weight_offset != 0.0F) weight = mx::add(weight, mx::array(spec.weight_offset), stream_);
    return weight;
  }

  Result<MlxLayer> read(const LayerSpec& spec) {
    mx::array attention_norm = TRY(read(*spec.attention_norm));
    mx::array mlp_norm = TRY(read(*spec.mlp_norm));
    std::vector<MlxLinear> linears;
    const AttentionSpec& attention = *spec.attention;
    for (const LinearSpec* linear :
         {&attention.q_proj, &*attention.k_proj, &*attention.v_proj, &attention.o_proj, &*spec.mlp->gate_proj,
          &spec.mlp->up_proj, &spec.mlp->down_proj}) {
      linears.push_back(TRY(read(*linear)));
    }
    return MlxLayer{.attention_norm = std::move(attention_norm),
                    .mlp_norm = std::move(mlp_norm),
                    .q_proj = std::move(linears[0]),
                    .k_proj = std::move(linears[1]),
                    .v_proj = std::move(linears[2]),
                    .o_proj = std::move(linears[3]),
                    .gate_proj = std::move(linears[4]),
                    .up_proj = std::move(linears[5]),
                    .down_proj = std::move(linears[6])};
  }

 private:
  const WeightMap& weights_;
  const mx::Stream stream_;
  std::size_t num_bytes_ = 0;
};

}  // namespace

Result<MlxWeights> MlxWeights::read(const ModelSpec& spec, const WeightMap& weights, const mx::Stream& stream,
                                    const std::function<void(float)>& progress) {
  try {
    Reader reader(weights, stream);
    MlxLinear embedding = TRY(reader.read(spec.embedding));
    std::vector<MlxLayer> layers;
    for (const LayerSpec& layer : spec.layers) {
      layers.push_back(TRY(reader.read(layer)));
      if (progress) progress(static_cast<float>(layers.size()) / static_cast<float>(spec.layers.size() + 1));
    }
    mx::array final_norm = TRY(reader.read(spec.final_norm));
    std::optional<MlxLinear> lm_head;
    if (!spec.tied_embeddings) lm_head = TRY(reader.read(spec.lm_head));
    if (progress) progress(1.0F);
    return MlxWeights{std::move(embedding), std::move(layers), std::move(final_norm), std::move(lm_head),
                      reader.num_bytes()};
  } catch (const std::exception& exception) {
    return Error(ErrorKind::kInternal, std::string("mlx: ") + exception.what());
  }
}

}  // namespace mlxd
