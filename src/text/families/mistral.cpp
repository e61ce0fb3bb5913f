// Mistral, Mixtral, Ministral, Devstral, Magistral, from the tokenizers that know tools.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"mistral", "mistral3", "ministral3", "mixtral"};
constexpr std::string_view kMarks[] = {"[TOOL_CALLS]"};
constexpr std::string_view kNames[] = {"mistral",  "mixtral",   "ministral",
                                       "devstral", "magistral", "codestral"};

}  // namespace

const Family mistral{
    .name = "mistral",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"[THINK]", "[/THINK]"}, .tools = &dialects::mistral},
};

}  // namespace mlxd::families
