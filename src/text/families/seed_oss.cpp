// Seed-OSS.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"seed_oss"};
constexpr std::string_view kMarks[] = {"<seed:tool_call>"};
constexpr std::string_view kNames[] = {"seed-oss"};

}  // namespace

const Family seed_oss{
    .name = "seed_oss",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<seed:think>", "</seed:think>"}, .tools = &dialects::seed_oss},
};

}  // namespace mlxd::families
