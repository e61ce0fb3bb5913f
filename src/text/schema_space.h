// White space in answers to a JSON schema.
#pragma once

#include <string>
#include <string_view>

namespace mlxd {

/// The schema, a JSON object, with the grammar compiler's option that bounds the space between two tokens:
/// one blank, or a line break and an indentation. Without it a model may go on with white space for ever.
std::string with_bounded_space(std::string_view schema);

}  // namespace mlxd
