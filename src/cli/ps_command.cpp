#include <boost/json.hpp>
#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/json_text.h"
#include "cli/manage_client.h"
#include "cli/model_finder.h"
#include "cli/state_folder.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

constexpr std::string_view kClearScreen = "\033[H\033[J";

std::uint64_t number_at(const json::value& value, const char* pointer) {
  json::error_code code;
  const json::value* found = value.find_pointer(pointer, code);
  if (found == nullptr) return 0;
  if (found->is_int64()) return static_cast<std::uint64_t>(found->get_int64());
  if (found->is_uint64()) return found->get_uint64();
  return found->is_double() ? static_cast<std::uint64_t>(found->get_double()) : 0;
}

std::string text_at(const json::value& value, const char* pointer) {
  json::error_code code;
  const json::value* found = value.find_pointer(pointer, code);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
}

bool is_true(const json::value& value, const char* pointer) {
  json::error_code code;
  const json::value* found = value.find_pointer(pointer, code);
  return found != nullptr && found->is_bool() && found->get_bool();
}

// How long it stays, or why it does.
std::string until(const json::value& server) {
  if (is_true(server, "/pinned")) return "pinned";
  if (is_true(server, "/preloaded")) return "preloaded";
  json::error_code code;
  const json::value* left = server.find_pointer("/keep_alive_left_s", code);
  if (left == nullptr || left->is_null()) return number_at(server, "/in_use") > 0 ? "in use" : "for ever";
  return format_duration(static_cast<double>(number_at(server, "/keep_alive_left_s")));
}

std::string state(const json::value& server) {
  const std::string name = text_at(server, "/state");
  if (name != "loading") return name;
  const std::string step = text_at(server, "/progress/step");
  json::error_code code;
  const json::value* fraction = server.find_pointer("/progress/fraction", code);
  if (step != "reading" || fraction == nullptr) return step;
  return "reading " + std::to_string(static_cast<int>(fraction->to_number<double>() * 100.0)) + " %";
}

std::string to_text(const json::value& pool) {
  Table table({{"MODEL"},
               {"STATE"},
               {"MEMORY", true},
               {"K/V", true},
               {"IN USE", true},
               {"TOKENS/S", true},
               {"STAYS"}});
  std::string errors;
  json::error_code code;
  const json::value* servers = pool.find_pointer("/servers", code);
  if (servers != nullptr && servers->is_array()) {
    for (const json::value& server : servers->get_array()) {
      const std::string name = text_at(server, "/state");
      if (name == "unloaded") continue;
      if (name == "failed")
        errors += text_at(server, "/model") + ": " + text_at(server, "/last_error/message") + "\n";
      const bool is_ready = name == "ready";
      table.add_row(
          {text_at(server, "/model"), state(server),
           format_bytes(number_at(server, "/memory/reserved_bytes")),
           is_ready ? format_share(number_at(server, "/kv_pages/used"), number_at(server, "/kv_pages/total"))
                    : "-",
           is_ready ? std::to_string(number_at(server, "/in_use")) : "-",
           is_ready ? std::to_string(number_at(server, "/tokens_per_second")) : "-",
           is_ready ? until(server) : "-"});
    }
  }
  std::string text = table.to_string();
  text += "memory: " + format_bytes(number_at(pool, "/budget/reserved_bytes")) + " of " +
          format_bytes(number_at(pool, "/budget/bytes")) + "\n";
  return text + errors;
}

}  // namespace

Result<int> ps_command(const CommandContext& context, const PsOptions& options) {
  const ManageClient server = TRY(ManageClient::open_running(context.state));
  Console& console = context.console;
  const InterruptFlag interrupt;
  for (bool first = true; first || (options.watch && !interrupt.raised()); first = false) {
    const json::value pool = TRY(server.get("/api/v1/servers"));
    std::string text = options.json ? pretty_json(pool) : to_text(pool);
    if (options.watch && console.out_is_terminal()) text.insert(0, kClearScreen);
    if (!console.write(text)) break;
    if (!options.watch) break;
    // A second, but no longer than until Ctrl-C.
    for (int i = 0; i < 10 && !interrupt.raised(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return kExitOk;
}

Result<int> stop_command(const CommandContext& context, const StopOptions& options) {
  const ManageClient server = TRY(ManageClient::open_running(context.state));
  std::string model = options.model;
  if (is_explicit_path(model)) {
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::weakly_canonical(expand_home(model), error);
    if (error) return io_error("cannot read " + model, error.value());
    model = folder.string();
  }
  const std::string path =
      "/api/v1/servers/" + path_segment(model) + (options.now ? "?mode=cancel" : "?mode=wait");
  TRY(server.call("DELETE", path, {}));
  context.console.write_line("unloaded " + options.model);
  return kExitOk;
}

}  // namespace mlxd::cli
