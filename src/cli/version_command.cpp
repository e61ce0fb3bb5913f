#include <histedit.h>

#include <spdlog/version.h>
#include <CLI/Version.hpp>
#include <boost/json.hpp>
#include <boost/version.hpp>
#include <string>
#include <utility>

#include "build_commit.h"
#include "cli/commands.h"
#include "cli/json_text.h"
#include "workbench/machine.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

std::string dotted(int major, int minor, int patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

std::string compiler() {
#if defined(__clang__)
  return "clang " + dotted(__clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return "gcc " + dotted(__GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

Result<int> version_command(const CommandContext& context, const VersionOptions& options) {
  const std::string commit = MLXD_BUILD_COMMIT;
  const json::object libraries{
      {"boost", dotted(BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100)},
      {"spdlog", dotted(SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH)},
      {"cli11", CLI11_VERSION},
      {"libedit", std::to_string(LIBEDIT_MAJOR) + "." + std::to_string(LIBEDIT_MINOR)}};
  json::array isas;
  for (const std::string& name : instruction_sets()) isas.push_back(json::string(name));
  if (options.json) {
    context.console.write(pretty_json(json::object{{"version", MLXD_VERSION},
                                                   {"commit", commit},
                                                   {"compiler", compiler()},
                                                   {"instruction_sets", std::move(isas)},
                                                   {"libraries", libraries}}));
    return kExitOk;
  }
  std::string isa_text;
  for (const json::value& isa : isas) isa_text += " " + std::string(isa.get_string());
  std::string library_text;
  for (const auto& [name, version] : libraries)
    library_text +=
        (library_text.empty() ? "" : ", ") + std::string(name) + " " + std::string(version.get_string());
  context.console.write("mlxd " MLXD_VERSION + (commit.empty() ? "" : " (" + commit + ")") + "\n" +  //
                        "compiler          " + compiler() + "\n" +                                   //
                        "instruction sets " + isa_text + "\n" +                                      //
                        "libraries         " + library_text + "\n");
  return kExitOk;
}

}  // namespace mlxd::cli
