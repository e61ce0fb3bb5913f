// The tree of subcommands while it is made: what they are parsed into, and how one is added. Private to
// command_line.cpp and the files that add their part.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "cli/commands.h"

namespace mlxd::cli {

using Command = std::function<Result<int>(const CommandContext&)>;

// What the flags were parsed into. Lives until the command has run: CLI11 keeps pointers to it.
struct Parsed {
  std::string home;
  Command command;  // of the subcommand that was named
};

// Makes a subcommand whose options end up in `options`; `run` is called with them.
template <typename Options, typename Run>
CLI::App* add_command(CLI::App& root, Parsed& parsed, const std::string& name, const std::string& help,
                      const std::shared_ptr<Options>& options, Run run) {
  CLI::App* command = root.add_subcommand(name, help);
  command->add_option("--home", parsed.home, "state folder (MLXD_HOME; default ~/.mlxd)")
      ->type_name("FOLDER");
  command->callback([&parsed, options, run] {
    parsed.command = [options, run](const CommandContext& context) { return run(context, *options); };
  });
  return command;
}

/// user, key, config, profile.
void add_manage_commands(CLI::App& root, Parsed& parsed);

}  // namespace mlxd::cli
