#include "backends/cpu/isa.h"

#include <cstdlib>
#include <string>

#include "base/log.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace mlxd {
namespace {

#if defined(__x86_64__)

struct CpuidRegisters {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidRegisters cpuid(unsigned leaf, unsigned subleaf) {
  CpuidRegisters r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

constexpr bool has(unsigned value, unsigned bit) { return ((value >> bit) & 1U) != 0; }

/// Register files that the operating system saves on a context switch (XCR0).
unsigned saved_register_files() {
  if (!has(cpuid(1, 0).ecx, 27)) return 0;  // OSXSAVE
  unsigned low = 0;
  unsigned high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

/// Asks the system for the tile registers, which it gives to a process only on demand (Linux 5.16 on). The
/// permission is the whole process's and for good; asking again does nothing.
bool may_use_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

void append_machine_isas(std::vector<Isa>& isas) {
  constexpr unsigned kYmm = 0x06;       // SSE and AVX state
  constexpr unsigned kZmm = 0xe6;       // these, mask registers and both halves of the zmm file
  constexpr unsigned kTiles = 0x60000;  // tile configuration and tile data
  const unsigned saved = saved_register_files();
  const CpuidRegisters one = cpuid(1, 0);
  const CpuidRegisters seven = cpuid(7, 0);
  const bool fma = has(one.ecx, 12);
  const bool f16c = has(one.ecx, 29);
  const bool avx2 = has(seven.ebx, 5);
  if ((saved & kYmm) != kYmm || !fma || !f16c || !avx2) return;
  isas.push_back(Isa::kAvx2);
  if (has(seven.eax >= 1 ? cpuid(7, 1).eax : 0, 4)) isas.push_back(Isa::kAvxVnni);
  const bool avx512 = has(seven.ebx, 16) && has(seven.ebx, 17) && has(seven.ebx, 30) && has(seven.ebx, 31);
  const bool vnni = has(seven.ecx, 11);
  if ((saved & kZmm) != kZmm || !avx512 || !vnni) return;
  isas.push_back(Isa::kAvx512Vnni);
  const bool amx = has(seven.edx, 24) && has(seven.edx, 25);  // tiles, and their int8 products
  if ((saved & kTiles) == kTiles && amx && may_use_tiles()) isas.push_back(Isa::kAmx);
}

#elif defined(__aarch64__) && defined(__linux__)

void append_machine_isas(std::vector<Isa>& isas) {
  const unsigned long capabilities = getauxval(AT_HWCAP);
  if ((capabilities & HWCAP_ASIMDDP) != 0 && (capabilities & HWCAP_ASIMDHP) != 0) isas.push_back(Isa::kNeon);
  if (isas.back() == Isa::kNeon && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0) isas.push_back(Isa::kNeonI8mm);
}

#elif defined(__aarch64__) && defined(__APPLE__)

bool has_feature(const char* name) {
  int value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

void append_machine_isas(std::vector<Isa>& isas) {
  if (has_feature("hw.optional.arm.FEAT_DotProd") && has_feature("hw.optional.arm.FEAT_FP16")) {
    isas.push_back(Isa::kNeon);
    if (has_feature("hw.optional.arm.FEAT_I8MM")) isas.push_back(Isa::kNeonI8mm);
  }
}

#else

void append_machine_isas(std::vector<Isa>&) {}

#endif

}  // namespace

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvxVnni:
      return "avx-vnni";
    case Isa::kAvx512Vnni:
      return "avx512-vnni";
    case Isa::kAmx:
      return "amx";
    case Isa::kNeon:
      return "neon";
    case Isa::kNeonI8mm:
      return "neon-i8mm";
  }
  return "scalar";
}

Result<Isa> parse_isa(std::string_view name) {
  for (const Isa isa :
       {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512Vnni, Isa::kAmx, Isa::kNeon, Isa::kNeonI8mm}) {
    if (name == to_string(isa)) return isa;
  }
  return invalid_argument("unknown instruction set '" + std::string(name) +
                          "'; use scalar, avx2, avx-vnni, avx512-vnni, amx, neon or neon-i8mm");
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas = {Isa::kScalar};
  append_machine_isas(isas);
  return isas;
}

Isa default_isa() {
  const std::vector<Isa> isas = available_isas();
  const char* wanted = std::getenv("MLXD_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') return isas.back();
  const Result<Isa> parsed = parse_isa(wanted);
  if (parsed.ok()) {
    for (const Isa isa : isas) {
      if (isa == *parsed) return isa;
    }
  }
  log::warn("MLXD_CPU_ISA='{}' is not available on this machine; using {}", wanted, to_string(isas.back()));
  return isas.back();
}

}  // namespace mlxd
