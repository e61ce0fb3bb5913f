// Seed-OSS.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kSeedOssModelTypes[] = {"seed_oss"};
constexpr std::string_view kSeedOssMarks[] = {"<seed:tool_call>"};
constexpr std::string_view kSeedOssNames[] = {"seed-oss"};

}  // namespace

const Family seed_oss{
    .name = "seed_oss",
    .model_types = kSeedOssModelTypes,
    .marks = kSeedOssMarks,
    .names = kSeedOssNames,
    .format = {.reasoning = {"<seed:think>", "</seed:think>"}, .tools = &dialects::seed_oss},
};

}  // namespace mlxd::families
