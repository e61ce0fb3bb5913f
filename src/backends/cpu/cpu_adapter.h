// A low-rank adapter in the form that both executors read: for each of an executor's products (a linear
// layer, or several packed together) the small products that go beside it. Constant once made.
//
// Rule of an adapted output, the same for every row whatever its company: y = product · gain (DoRA; else as
// it is), then y = fma(inner[k], up[k], y) for k ascending, then + offset; inner[k] = down[k] · x in the
// order of VectorKernels::product.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "backends/cpu/linear.h"
#include "backends/cpu/vector_kernels.h"
#include "base/result.h"
#include "engine/backend.h"
#include "model/adapter.h"
#include "model/model_spec.h"

namespace mlxd {

/// For some outputs of a product, those of one module.
struct LowRankPart {
  std::int32_t first_output = 0;
  std::int32_t num_outputs = 0;
  std::int32_t first_rank = 0;  // its rows of `down`
  std::int32_t rank = 0;
  std::vector<float> up;      // [rank, num_outputs]; the gain is in it
  std::vector<float> gain;    // [num_outputs], of DoRA; empty: 1
  std::vector<float> offset;  // [num_outputs]: what the gain must not do to the product's bias; empty: 0
};

struct LowRankProduct {
  std::int32_t in_features = 0;
  std::int32_t num_ranks = 0;
  /// Each part belongs to one expert, in their order, and is computed for its expert's rows alone.
  bool of_experts = false;
  std::vector<float> down;         // [num_ranks, in_features]
  std::vector<LowRankPart> parts;  // by first_output
};

class CpuAdapter : public PreparedAdapter {
 public:
  /// What the adapter changes of a product, known by its address in the executor; nullptr: nothing.
  const LowRankProduct* find(const void* product) const {
    const auto found = products_.find(product);
    return found == products_.end() ? nullptr : &found->second;
  }
  std::size_t memory_bytes() const override { return memory_bytes_; }
  const void* executor() const { return executor_; }  // that it was made for
  /// Of its widest product, those of experts left out.
  std::int32_t most_ranks() const { return most_ranks_; }
  std::int32_t most_features() const { return most_features_; }

 private:
  friend class CpuAdapterBuilder;
  std::unordered_map<const void*, LowRankProduct> products_;
  const void* executor_ = nullptr;
  std::size_t memory_bytes_ = 0;
  std::int32_t most_ranks_ = 0;
  std::int32_t most_features_ = 0;
};
using CpuAdapterPtr = std::shared_ptr<const CpuAdapter>;

/// Goes through an executor's products and takes what the adapter has for each.
class CpuAdapterBuilder {
 public:
  /// Both must outlive the builder.
  CpuAdapterBuilder(const Adapter& adapter, const void* executor, const VectorKernels& kernels);

  struct Product {
    const void* address = nullptr;
    std::span<const LinearSpec> parts;  // whose outputs follow each other
    /// The weights of an output, in fp32 [in_features].
    std::function<void(std::int32_t output, float* weights)> read_row;
    /// The bias that the product itself adds to an output; empty: none.
    std::function<float(std::int32_t output)> bias{};
  };
  /// Errors: kCorruptData for an adapted row of length zero, which DoRA divides by.
  Result<void> add(const Product& product);

  /// Errors: kUnsupported naming a module of the adapter that is in no product.
  Result<CpuAdapterPtr> finish();

 private:
  Result<void> add_part(const Product& product, const LinearSpec& spec, std::int32_t first_output,
                        LowRankProduct& out);
  Result<void> normalize(const Product& product, const std::string& name, const AdaptedModule& module,
                         std::span<const std::int64_t> stored, const float* down, LowRankPart& part) const;

  const Adapter& adapter_;
  const VectorKernels& kernels_;
  std::shared_ptr<CpuAdapter> made_;
  std::set<std::string, std::less<>> used_;
};

/// Adds a packed layer made of `parts`.
Result<void> list_product(CpuAdapterBuilder& builder, const Linear& linear,
                          std::span<const LinearSpec> parts);
/// Adds weights [outputs, in_features] in fp32; `bias` as the product itself adds it, or empty.
Result<void> list_product(CpuAdapterBuilder& builder, const void* address, std::span<const float> weights,
                          std::span<const float> bias, const LinearSpec& spec);

/// The adapters that steps may name. One owner.
class AttachedAdapters {
 public:
  void attach(AdapterId id, CpuAdapterPtr adapter);
  void detach(AdapterId id);
  std::span<const AdapterId> ids() const { return ids_; }
  /// nullptr for kNoAdapter; any other id is attached.
  const CpuAdapter* find(AdapterId id) const;
  std::size_t memory_bytes() const;
  std::int32_t most_ranks() const;
  std::int32_t most_features() const;

 private:
  std::vector<AdapterId> ids_;
  std::vector<CpuAdapterPtr> adapters_;  // of ids_
};

}  // namespace mlxd
