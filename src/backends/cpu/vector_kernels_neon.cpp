// The kernels for one instruction set; compiled with its flags, empty elsewhere.
#include "backends/cpu/vector_kernels.h"

#if defined(__aarch64__)

#include "backends/cpu/vector_neon.h"
#include "backends/cpu/vector_kernels_impl.h"

namespace mlxd {

const VectorKernels* neon_vector_kernels() {
  static constexpr VectorKernels kTable = VectorKernelsOf<NeonVector>::table();
  return &kTable;
}

}  // namespace mlxd

#else

namespace mlxd {

const VectorKernels* neon_vector_kernels() { return nullptr; }

}  // namespace mlxd

#endif
