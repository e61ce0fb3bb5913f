// <|START_ACTION|>[{"tool_call_id": "0", "tool_name": …, "parameters": {…}}, …]<|END_ACTION|>: Command A and
// R7B; Command R writes the list into a code block. Its ids count from 0 in every turn, so they name nothing.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kCohereOpeners[] = {"<|START_ACTION|>", "Action: ```json\n", "Action:```json\n"};
constexpr std::string_view kCohereClosers[] = {"<|END_ACTION|>", "```", "```"};  // of each

Task read_cohere(OutputReader& reader, int opener) {
  return json_calls(reader, kCohereClosers[opener], {.keep_ids = false});
}

}  // namespace

const ToolDialect cohere{.name = "cohere",
                         .openers = kCohereOpeners,
                         .read = read_cohere,
                         .frame = {.section_open = "<|START_ACTION|>[\n",
                                   .call_open = "{\"tool_call_id\": \"0\", \"tool_name\": \"",
                                   .arguments_open = "\", \"parameters\": ",
                                   .call_close = "}",
                                   .separator = ",\n",
                                   .section_close = "\n]<|END_ACTION|>"}};

}  // namespace mlxd::dialects
