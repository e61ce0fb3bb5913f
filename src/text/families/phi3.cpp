// Phi 3 and 3.5: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"phi3", "phimoe"};
constexpr std::string_view kMarks[] = {"<|assistant|>", "<|end|>"};
constexpr std::string_view kNames[] = {"phi-3"};
constexpr std::string_view kEndTokens[] = {"<|end|>"};

}  // namespace

const Family phi3{
    .name = "phi3",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.tools = &dialects::hermes},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
