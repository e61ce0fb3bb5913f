// Sizes that the loops over packed integer weights share, for sources compiled for one instruction set: all
// in an unnamed namespace, see CMakeLists.txt.
#pragma once

#include <cstddef>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

/// Forms of packed codes: affine ones by their bits, and e2m1 numbers.
enum class Codes : int { k2 = 2, k3 = 3, k4 = 4, k5 = 5, k6 = 6, k8 = 8, kE2M1 = 9 };

constexpr int bits_of(Codes codes) { return codes == Codes::kE2M1 ? 4 : static_cast<int>(codes); }
/// Largest integer that stands for a code, e2m1 numbers being offset.
constexpr int largest_of(Codes codes) {
  return codes == Codes::kE2M1 ? 2 * kE2M1Offset : (1 << bits_of(codes)) - 1;
}
/// Bytes of the codes of an activation group of a block.
constexpr int bytes_of(Codes codes) { return 64 * bits_of(codes); }

/// A block's products go by units: weight groups (affine) or activation groups (e2m1).
struct AffinePlan {
  int unit_features;
  int num_units;                // of a row
  int unit_records;             // activation records that a unit reads of a row
  std::ptrdiff_t unit_bytes;    // codes, and scales and biases where those lie with them
  std::ptrdiff_t unit_scales;   // bytes of the scales where they lie apart
  std::ptrdiff_t scales_start;  // of these, from the block's start
  std::ptrdiff_t block_bytes;
};

inline AffinePlan plan_of(const AffineTask& task) {
  AffinePlan plan;
  plan.unit_features = task.e2m1 ? 32 : task.group_size;
  plan.num_units = task.num_groups * task.group_size / plan.unit_features;
  plan.unit_records = plan.unit_features / 32 * task.planes;
  plan.unit_bytes = static_cast<std::ptrdiff_t>(plan.unit_features) * 2 * task.code_bits;
  if (!task.e2m1) plan.unit_bytes += task.scale_type == ScalarType::kF32 ? 128 : 64;
  plan.unit_scales = task.e2m1 ? plan.unit_features / task.group_size * 16 : 0;
  plan.scales_start = plan.num_units * plan.unit_bytes;
  plan.block_bytes = plan.scales_start + (plan.num_units * plan.unit_scales + 63) / 64 * 64;
  return plan;
}

/// A choice among kernels for one form of codes; kParts is the number of activation groups of a weight group
/// where it is fixed: for the usual widths with one record a group.
template <typename Choice>
auto choose_kernels(const AffineTask& task, Choice choice) {
  const int parts = task.planes == 1 ? task.group_size / 32 : 0;
  switch (task.code_bits) {
    case 2:
      return choice.template affine<Codes::k2, 0>();
    case 3:
      return choice.template affine<Codes::k3, 0>();
    case 5:
      return choice.template affine<Codes::k5, 0>();
    case 6:
      return choice.template affine<Codes::k6, 0>();
    case 8:
      return parts == 1   ? choice.template affine<Codes::k8, 1>()
             : parts == 2 ? choice.template affine<Codes::k8, 2>()
             : parts == 4 ? choice.template affine<Codes::k8, 4>()
                          : choice.template affine<Codes::k8, 0>();
    default:
      break;
  }
  if (task.e2m1) return task.group_size == 16 ? choice.template e2m1<2>() : choice.template e2m1<1>();
  return parts == 1   ? choice.template affine<Codes::k4, 1>()
         : parts == 2 ? choice.template affine<Codes::k4, 2>()
         : parts == 4 ? choice.template affine<Codes::k4, 4>()
                      : choice.template affine<Codes::k4, 0>();
}

inline int at_most(int value, int limit) { return value < limit ? value : limit; }

}  // namespace
}  // namespace mlxd
