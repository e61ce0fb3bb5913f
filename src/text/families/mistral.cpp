// Mistral, Mixtral, Ministral, Devstral, Magistral, from the tokenizers that know tools; those since v11
// write each call with a mark between its name and its arguments.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kMistralModelTypes[] = {"mistral", "mistral3", "ministral3", "mixtral"};
constexpr std::string_view kMistralMarks[] = {"[TOOL_CALLS]"};
constexpr std::string_view kMarksOfV11[] = {"[TOOL_CALLS]", "[ARGS]"};
constexpr std::string_view kMistralNames[] = {"mistral",  "mixtral",   "ministral",
                                              "devstral", "magistral", "codestral"};

}  // namespace

const Family mistral_v11{
    .name = "mistral_v11",
    .model_types = kMistralModelTypes,
    .marks = kMarksOfV11,
    .format = {.reasoning = {"[THINK]", "[/THINK]"}, .tools = &dialects::mistral_v11},
};

const Family mistral{
    .name = "mistral",
    .model_types = kMistralModelTypes,
    .marks = kMistralMarks,
    .names = kMistralNames,
    .format = {.reasoning = {"[THINK]", "[/THINK]"}, .tools = &dialects::mistral},
};

}  // namespace mlxd::families
