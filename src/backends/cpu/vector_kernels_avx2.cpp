// The kernels for one instruction set; compiled with its flags, empty elsewhere.
#include "backends/cpu/vector_kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include "backends/cpu/vector_avx2.h"
#include "backends/cpu/vector_kernels_impl.h"

namespace mlxd {

const VectorKernels* avx2_vector_kernels() {
  static constexpr VectorKernels kTable = VectorKernelsOf<Avx2Vector>::table();
  return &kTable;
}

}  // namespace mlxd

#else

namespace mlxd {

const VectorKernels* avx2_vector_kernels() { return nullptr; }

}  // namespace mlxd

#endif
