#include "backends/cpu/vector_kernels.h"

#include "base/check.h"

namespace mlxd {

const VectorKernels& vector_kernels(Isa isa) {
  const VectorKernels* kernels = nullptr;
  switch (isa) {
    case Isa::kScalar:
      kernels = scalar_vector_kernels();
      break;
#if defined(__x86_64__)
    case Isa::kAvx2:
    case Isa::kAvxVnni:
      kernels = avx2_vector_kernels();
      break;
    case Isa::kAvx512Vnni:
    case Isa::kAmx:
      kernels = avx512_vector_kernels();
      break;
#elif defined(__aarch64__)
    case Isa::kNeon:
    case Isa::kNeonI8mm:
      kernels = neon_vector_kernels();
      break;
#endif
    default:
      break;
  }
  CHECK(kernels != nullptr);
  return *kernels;
}

std::vector<Isa> vector_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : available_isas()) {
    if (isas.empty() || &vector_kernels(isas.back()) != &vector_kernels(isa)) isas.push_back(isa);
  }
  return isas;
}

}  // namespace mlxd
