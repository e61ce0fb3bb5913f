#include "cli/doctor_checks.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "cli/format.h"
#include "cli/model_loader.h"
#include "cli/settings.h"
#include "http/client.h"
#include "workbench/machine.h"
#include "workbench/model_facts.h"

namespace mlxd::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kGigabyte = 1'000'000'000;

Finding check_cpu() {
  std::string detail = cpu_name();
  if (!detail.empty()) detail += ", ";
  const std::int32_t cores = num_cores();
  const std::string chosen = chosen_instruction_set();
  detail += std::to_string(cores) + (cores == 1 ? " core" : " cores") + ", uses " + chosen + " of";
  for (const std::string& name : instruction_sets()) detail += " " + name;
  if (chosen != "scalar") return {"processor", Verdict::kGood, detail, {}};
  return {"processor", Verdict::kWarning, detail,
          environment("MLXD_CPU_ISA")
              ? "MLXD_CPU_ISA asks for the slow scalar code: unset it"
              : "this processor has none of AVX2, AVX-512 VNNI, NEON dotprod: answers will be slow"};
}

Finding check_memory() {
  const std::uint64_t available = available_memory_bytes();
  const std::string detail = format_bytes(available) + " available of " + format_bytes(total_memory_bytes());
  if (available < kGigabyte)
    return {"memory", Verdict::kWarning, detail, "close other programs: models are held in memory"};
  return {"memory", Verdict::kGood, detail, {}};
}

std::optional<Finding> check_huge_pages() {
  const auto mode = huge_pages_mode();
  if (!mode) return std::nullopt;
  const std::string detail = "transparent huge pages: " + *mode;
  if (*mode != "never") return Finding{"huge pages", Verdict::kGood, detail, {}};
  return Finding{
      "huge pages", Verdict::kWarning, detail,
      "a few per cent of speed: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)"};
}

Finding check_state_folder(const StateFolder& state) {
  const fs::path& root = state.root();
  std::error_code error;
  if (!fs::exists(root, error)) {
    fs::path parent = fs::absolute(root, error);
    while (parent.has_relative_path() && !fs::exists(parent, error)) parent = parent.parent_path();
    if (access(parent.c_str(), W_OK | X_OK) == 0)
      return {"state folder", Verdict::kGood, root.string() + " (made when needed)", {}};
    return {"state folder", Verdict::kBroken,
            root.string() + " cannot be made: " + parent.string() + " is read-only",
            "choose another with --home or MLXD_HOME"};
  }
  if (!fs::is_directory(root, error))
    return {"state folder", Verdict::kBroken, root.string() + " is no folder",
            "move it away, or set MLXD_HOME"};
  if (access(root.c_str(), R_OK | W_OK | X_OK) != 0)
    return {"state folder", Verdict::kBroken, root.string() + " cannot be written",
            "chown or chmod it, or set MLXD_HOME"};
  return {"state folder", Verdict::kGood, root.string(), {}};
}

Finding check_disk(const StateFolder& state) {
  const auto free = free_disk_bytes(state.root());
  if (!free) return {"disk", Verdict::kWarning, "free space is unknown", {}};
  const std::string detail = format_bytes(*free) + " free";
  if (*free < kGigabyte / 10) return {"disk", Verdict::kBroken, detail, "make room: nothing can be stored"};
  if (*free < 5 * kGigabyte) return {"disk", Verdict::kWarning, detail, "make room before adding models"};
  return {"disk", Verdict::kGood, detail, {}};
}

Finding check_config(const Result<Settings>& settings, const StateFolder& state) {
  if (!settings)
    return {"configuration", Verdict::kBroken, settings.error().message,
            "correct it; 'mlxd serve --help' names all"};
  std::error_code error;
  const bool exists = fs::exists(state.config_file(), error);
  return {"configuration",
          Verdict::kGood,
          exists ? state.config_file().string() : "no config.toml, defaults hold",
          {}};
}

// Whether a server could listen there; the reason if not.
Result<void> try_listening(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0 || found == nullptr)
    return invalid_argument("the address " + host + " is unknown");
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  const int listener = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
  if (listener < 0) return io_error("cannot make a socket", errno);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const int failure = bind(listener, found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
  close(listener);
  if (failure != 0) return io_error("cannot listen at " + host + ":" + std::to_string(port), failure);
  return {};
}

bool answers_as_mlxd(const std::string& host, std::uint16_t port) {
  http::Client::Options options;
  options.connect_timeout = std::chrono::seconds(1);
  options.read_timeout = std::chrono::seconds(2);
  const std::string address = host.find(':') == std::string::npos ? host : "[" + host + "]";
  const auto client = http::Client::create("http://" + address + ":" + std::to_string(port), options);
  if (!client) return false;
  const auto response = client->get("/healthz");
  return response && response->status == 200;
}

Finding check_port(const Settings& settings) {
  const std::string address = settings.host() + ":" + std::to_string(settings.port());
  const auto listening = try_listening(settings.host(), settings.port());
  if (listening) return {"port", Verdict::kGood, address + " is free", {}};
  if (answers_as_mlxd(settings.host(), settings.port()))
    return {"port", Verdict::kGood, address + ": a server is running and healthy", {}};
  return {"port", Verdict::kBroken, listening.error().message,
          "stop what uses it, or choose another with --port or MLXD_PORT"};
}

std::vector<Finding> check_models(const ModelFinder& finder) {
  std::size_t num_home = 0;
  std::size_t num_hub = 0;
  std::size_t num_added = 0;
  for (const FoundModel& model : finder.list())
    ++(model.source == ModelSource::kHome    ? num_home
       : model.source == ModelSource::kAdded ? num_added
                                             : num_hub);

  std::vector<Finding> findings;
  const auto counted = [](std::size_t count) {
    return std::to_string(count) + (count == 1 ? " model" : " models");
  };
  findings.push_back({"models", num_home + num_hub > 0 ? Verdict::kGood : Verdict::kWarning,
                      counted(num_home) + " in " + finder.models_folder().string(),
                      num_home + num_hub > 0 ? "" : "import one: mlxd import FILE.gguf"});
  findings.push_back(
      {"hub cache", Verdict::kGood, counted(num_hub) + " in " + finder.hub_cache().string(), {}});
  for (const fs::path& folder : finder.added_folders()) {
    std::error_code error;
    if (!fs::is_directory(folder, error))
      findings.push_back({"added folder", Verdict::kWarning, "there is no folder " + folder.string(),
                          "make it, or take it out of the setting models-folder"});
  }
  if (!finder.added_folders().empty())
    findings.push_back({"added folders",
                        Verdict::kGood,
                        counted(num_added) + " in " + std::to_string(finder.added_folders().size()) +
                            (finder.added_folders().size() == 1 ? " folder" : " folders"),
                        {}});
  return findings;
}

// Opens everything of a model but its weights.
Finding check_model(const FoundModel& model, const std::string& check_name) {
  const std::string remedy = "fetch or import the model again, or remove " + model.path.string();
  const auto details = read_model_details(model.path);
  if (!details) return {check_name, Verdict::kBroken, details.error().message, remedy};
  return {check_name,
          Verdict::kGood,
          model.name + ": " + details->architecture + ", " + format_count(details->num_parameters) +
              " parameters, tokenizer" +
              (details->facts.has_chat_template ? " and chat template load" : " loads, no chat template"),
          {}};
}

Finding check_demo_model(const StateFolder& state) {
  constexpr const char* kDemoModel = "SmolLM2-135M-Instruct-4bit";
  const fs::path folder = state.models() / kDemoModel;
  if (!is_model_folder(folder))
    return {"demo model", Verdict::kWarning, std::string(kDemoModel) + " is not there",
            "make it with script/demo-model, if you want to try things out"};
  return check_model({kDemoModel, folder, ModelSource::kHome}, "demo model");
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "good";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kBroken:
      return "broken";
  }
  return "broken";
}

std::vector<Finding> examine(const StateFolder& state) {
  std::vector<Finding> findings{check_cpu(), check_memory()};
  if (auto huge_pages = check_huge_pages()) findings.push_back(std::move(*huge_pages));
  findings.push_back(check_state_folder(state));
  findings.push_back(check_disk(state));
  const auto settings = resolve_settings({}, state);
  findings.push_back(check_config(settings, state));
  if (settings) findings.push_back(check_port(*settings));
  // Where the settings cannot be read, what they would add is not there.
  const ModelFinder finder =
      settings ? make_finder(state, *settings) : ModelFinder(state.models(), hub_cache_folder());
  for (Finding& finding : check_models(finder)) findings.push_back(std::move(finding));
  findings.push_back(check_demo_model(state));
  const auto chosen = choose_model(finder, state, {});
  if (chosen && chosen->name != "SmolLM2-135M-Instruct-4bit")
    findings.push_back(check_model(*chosen, "last model"));
  return findings;
}

}  // namespace mlxd::cli
