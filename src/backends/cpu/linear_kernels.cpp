#include "backends/cpu/linear_kernels.h"

namespace mlxd {
namespace {

constexpr LinearKernels kScalarKernels = {quantize_scalar, affine_scalar, dense_scalar};
#if defined(__x86_64__)
constexpr LinearKernels kAvx2Kernels = {quantize_avx2, affine_avx2, dense_avx2};
constexpr LinearKernels kAvxVnniKernels = {quantize_avx2, affine_avxvnni, dense_avx2};
constexpr LinearKernels kAvx512Kernels = {quantize_avx512, affine_avx512, dense_avx512};
constexpr LinearKernels kAmxKernels = {quantize_amx, affine_amx, dense_avx512};
#elif defined(__aarch64__)
constexpr LinearKernels kNeonKernels = {quantize_neon, affine_neon, dense_neon};
constexpr LinearKernels kNeonI8mmKernels = {quantize_neon, affine_i8mm, dense_neon};
#endif

}  // namespace

const LinearKernels& linear_kernels(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return kAvx2Kernels;
    case Isa::kAvxVnni:
      return kAvxVnniKernels;
    case Isa::kAvx512Vnni:
      return kAvx512Kernels;
    case Isa::kAmx:
      return kAmxKernels;
#elif defined(__aarch64__)
    case Isa::kNeon:
      return kNeonKernels;
    case Isa::kNeonI8mm:
      return kNeonI8mmKernels;
#endif
    default:
      return kScalarKernels;
  }
}

}  // namespace mlxd
