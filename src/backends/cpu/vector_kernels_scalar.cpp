// The kernels in plain C++: the model that the other instruction sets equal bit for bit.
#include "backends/cpu/vector_kernels_impl.h"

namespace mlxd {

const VectorKernels* scalar_vector_kernels() {
  static constexpr VectorKernels kTable = VectorKernelsOf<ScalarVector>::table();
  return &kTable;
}

}  // namespace mlxd
