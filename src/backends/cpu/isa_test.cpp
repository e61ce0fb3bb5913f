#include "backends/cpu/isa.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace mlxd {
namespace {

TEST(Isa, names_are_parsed_back) {
  for (const Isa isa :
       {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512Vnni, Isa::kAmx, Isa::kNeon, Isa::kNeonI8mm}) {
    const auto parsed = parse_isa(to_string(isa));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, isa);
  }
}

TEST(Isa, an_unknown_name_is_refused_with_the_choices) {
  const auto parsed = parse_isa("mmx");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_NE(parsed.error().message.find("'mmx'"), std::string::npos);
  EXPECT_NE(parsed.error().message.find("scalar"), std::string::npos);
}

TEST(Isa, the_scalar_set_is_always_available_and_the_worst) {
  ASSERT_FALSE(available_isas().empty());
  EXPECT_EQ(available_isas().front(), Isa::kScalar);
}

TEST(Isa, the_environment_chooses_any_available_set_and_nothing_else) {
  for (const Isa isa : available_isas()) {
    ASSERT_EQ(setenv("MLXD_CPU_ISA", std::string(to_string(isa)).c_str(), 1), 0);
    EXPECT_EQ(default_isa(), isa);
  }
  ASSERT_EQ(setenv("MLXD_CPU_ISA", "mmx", 1), 0);
  EXPECT_EQ(default_isa(), available_isas().back());
  ASSERT_EQ(unsetenv("MLXD_CPU_ISA"), 0);
  EXPECT_EQ(default_isa(), available_isas().back());
}

}  // namespace
}  // namespace mlxd
