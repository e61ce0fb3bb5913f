// Instruction sets the CPU kernels are written for, and the choice between them at run time.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mlxd {

enum class Isa {
  kScalar,      // plain C++; the model that the others equal bit for bit
  kAvx2,        // AVX2 + FMA + F16C
  kAvxVnni,     // these and AVX-VNNI, the dot product without AVX-512
  kAvx512Vnni,  // AVX-512 F/BW/VL/DQ + VNNI
  kAmx,         // AVX-512 VNNI + AMX tiles of int8
  kNeon,        // ARMv8.2 dotprod + fp16
  kNeonI8mm,    // these and the matrix products of bytes
};

/// "scalar", "avx2", "avx-vnni", "avx512-vnni", "amx", "neon", "neon-i8mm"
std::string_view to_string(Isa isa);
Result<Isa> parse_isa(std::string_view name);
/// Those that this build has and this machine runs, best last; never empty.
std::vector<Isa> available_isas();
/// The best available, or the one named by MLXD_CPU_ISA if that is available.
Isa default_isa();

}  // namespace mlxd
