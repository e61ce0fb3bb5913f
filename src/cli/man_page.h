// The manual page, made of the command tree and the table of settings, so that it knows what the program
// knows. A pure function.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace mlxd::cli {

/// mlxd(1) in the man macros (groff_man(7)), without a date: the version says how old it is.
std::string man_page(const CLI::App& root, const std::string& version);

}  // namespace mlxd::cli
