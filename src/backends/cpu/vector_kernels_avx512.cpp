// The kernels for one instruction set; built, with its flags, only where the architecture has it.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes its own intrinsics' undefined pass-through operand for a use of an uninitialised variable.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "backends/cpu/vector_avx512.h"
#include "backends/cpu/vector_kernels_impl.h"

namespace mlxd {

const VectorKernels* avx512_vector_kernels() {
  static constexpr VectorKernels kTable = VectorKernelsOf<Avx512Vector>::table();
  return &kTable;
}

}  // namespace mlxd
