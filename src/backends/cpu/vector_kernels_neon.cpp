// The kernels for one instruction set; built, with its flags, only where the architecture has it.
#include "backends/cpu/vector_kernels_impl.h"
#include "backends/cpu/vector_neon.h"

namespace mlxd {

const VectorKernels* neon_vector_kernels() {
  static constexpr VectorKernels kTable = VectorKernelsOf<NeonVector>::table();
  return &kTable;
}

}  // namespace mlxd
