// A family of models as far as text goes, as data: how to tell it, and how its answers are written. What a
// template needs is not here: that is found by trying it (template_traits.h). See
// docs/guides/add-a-family.md.
#pragma once

#include <span>
#include <string_view>

#include "text/dialects/output_parser.h"

namespace mlxd {

struct Family {
  std::string_view name;
  std::span<const std::string_view> model_types{};  // of config.json
  std::span<const std::string_view> marks{};        // all of them stand in its templates
  std::span<const std::string_view> names{};        // one of them stands in the folder's name, in lower case
  dialects::OutputFormat format{};
  /// Tokens that end an answer beside those that the model's configuration names.
  std::span<const std::string_view> end_tokens{};
};

/// By the configuration where the template does not speak against it, else by the template, else by the name;
/// never fails ("plain" describes all). `template_source` is empty where there is none.
const Family& find_family(std::string_view model_type, std::string_view template_source,
                          std::string_view folder_name);

}  // namespace mlxd
