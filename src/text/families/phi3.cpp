// Phi 3 and 3.5: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kPhi3ModelTypes[] = {"phi3", "phimoe"};
constexpr std::string_view kPhi3Marks[] = {"<|assistant|>", "<|end|>"};
constexpr std::string_view kPhi3Names[] = {"phi-3"};
constexpr std::string_view kPhi3EndTokens[] = {"<|end|>"};

}  // namespace

const Family phi3{
    .name = "phi3",
    .model_types = kPhi3ModelTypes,
    .marks = kPhi3Marks,
    .names = kPhi3Names,
    .format = {.tools = &dialects::hermes},
    .end_tokens = kPhi3EndTokens,
};

}  // namespace mlxd::families
