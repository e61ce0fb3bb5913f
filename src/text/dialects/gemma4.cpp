// <|tool_call>call:NAME{key:<|"|>text<|"|>}<tool_call|>: Gemma 4.
#include "text/dialects/dialect_list.h"
#include "text/dialects/gemma_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kOpeners[] = {"<|tool_call>"};

Task read(OutputReader& reader, int /*opener*/) { return gemma_call(reader, "<|\"|>", "<tool_call|>"); }

}  // namespace

const ToolDialect gemma4{.name = "gemma4", .openers = kOpeners, .read = read};

}  // namespace mlxd::dialects
