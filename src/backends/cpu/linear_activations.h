// The inside of Activations, for Linear.
#pragma once

#include "backends/cpu/linear.h"
#include "backends/cpu/linear_kernels.h"
#include "backends/cpu/memory.h"

namespace mlxd {

struct Activations::Impl {
  const LinearKernels* kernels = nullptr;
  std::int32_t planes = 1;  // records of a group
  std::int32_t max_rows = 0;
  std::int32_t max_groups = 0;
  std::int32_t rows = 0;
  std::int32_t features = 0;
  std::int32_t num_groups = 0;
  ActivationForms forms = ActivationForms::kAll;
  MemoryRegion int8;  // tiles of records, as QuantizeTask describes; rows of untouched forms cost no memory
  MemoryRegion offsets;  // as QuantizeTask describes
  MemoryRegion fp32;     // tiles [k][R], k padded with zeros to whole groups

  bool has(ActivationForms form) const {
    return (static_cast<unsigned>(forms) & static_cast<unsigned>(form)) == static_cast<unsigned>(form);
  }
};

}  // namespace mlxd
