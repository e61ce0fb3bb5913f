// The kernels for one instruction set; built, with its flags, only where the architecture has it.
#include "backends/cpu/vector_avx2.h"
#include "backends/cpu/vector_kernels_impl.h"

namespace mlxd {

const VectorKernels* avx2_vector_kernels() {
  static constexpr VectorKernels kTable = VectorKernelsOf<Avx2Vector>::table();
  return &kTable;
}

}  // namespace mlxd
