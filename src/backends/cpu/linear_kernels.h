// The inner loops of weight products that belong to an instruction set.
#pragma once

#include "backends/cpu/isa.h"
#include "backends/cpu/linear_tasks.h"

namespace mlxd {

struct LinearKernels {
  void (*quantize)(const QuantizeTask&);
  void (*affine)(const AffineTask&);
  void (*dense)(const DenseTask&);
};

const LinearKernels& linear_kernels(Isa isa);

}  // namespace mlxd
