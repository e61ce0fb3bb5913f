// NAME, a line break and the arguments as an object, as the whole answer: GLM 4 (0414).
#include <string>

#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

// Text that only looks like it has no tool's name in its first line.
Task read_unmarked_glm4(OutputReader& reader) {
  bool ok = false;
  constexpr std::size_t kMaxNameBytes = 128;
  std::string name;
  char c = 0;
  for (;;) {
    ok = co_await reader.peek(c);
    if (!ok) co_return false;
    if (c == '\n') break;
    if (name.size() >= kMaxNameBytes || c == ' ' || c == '{') co_return false;
    name += c;
    reader.source().take(1);
  }
  if (!reader.schemas().has(name)) co_return false;
  co_await reader.skip_space();
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  if (c != '{') co_return false;
  co_return co_await json_arguments_of(reader, name);
}

}  // namespace

const ToolDialect glm4{.name = "glm4",
                       .openers = {},
                       .read_unmarked = read_unmarked_glm4,
                       .unmarked_names = true,
                       .frame = {.arguments_open = "\n", .one_only = true}};

}  // namespace mlxd::dialects
