// The subcommands that deal with the Hugging Face hub and its cache; as those of commands.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "catalog/hub_client.h"
#include "cli/commands.h"

namespace mlxd::cli {

struct PullOptions {
  std::string model;                  // ORG/NAME or ORG/NAME@REVISION
  std::string revision;               // empty: the name's, else main
  std::vector<std::string> patterns;  // of files; empty: those that a model needs
  bool json = false;
};
Result<int> pull_command(const CommandContext& context, const PullOptions& options);

struct SearchOptions {
  std::string text, author;
  std::vector<std::string> tags;
  std::string sort = "trending";
  std::int32_t limit = 20;
  bool all = false;          // not only those in MLX's format
  bool recommended = false;  // instead of all this: the list that comes with the program
  bool json = false;
};
Result<int> search_command(const CommandContext& context, const SearchOptions& options);

struct RemoveOptions {
  std::string model;   // its whole name, or ORG/NAME@REVISION
  bool added = false;  // also from a folder that the settings add
  bool json = false;
};
Result<int> remove_command(const CommandContext& context, const RemoveOptions& options);

/// The hub as the environment and the settings have it. Errors: of either.
Result<HubClient> open_hub(const StateFolder& state);

}  // namespace mlxd::cli
