// OLMo 3.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kOlmo3ModelTypes[] = {"olmo3"};
constexpr std::string_view kOlmo3Marks[] = {"<function_calls>"};
constexpr std::string_view kOlmo3Names[] = {"olmo-3"};
constexpr std::string_view kOlmo3EndTokens[] = {"<|im_end|>"};

}  // namespace

const Family olmo3{
    .name = "olmo3",
    .model_types = kOlmo3ModelTypes,
    .marks = kOlmo3Marks,
    .names = kOlmo3Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::olmo3},
    .end_tokens = kOlmo3EndTokens,
};

}  // namespace mlxd::families
