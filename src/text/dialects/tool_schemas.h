// What types the parameters of tools have, for dialects that write values without quotes. Immutable.
#pragma once

#include <boost/json/value.hpp>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "generation/conversation.h"

namespace mlxd::dialects {

/// Sets of JSON types, one bit each.
using ValueTypes = unsigned;
inline constexpr ValueTypes kStringType = 1, kIntegerType = 2, kNumberType = 4, kBooleanType = 8,
                            kNullType = 16, kArrayType = 32, kObjectType = 64, kAnyType = 127;

/// What types a value of `schema` may have; references are looked up in `root`.
ValueTypes types_of_schema(const boost::json::value& schema, const boost::json::value& root);

class ToolSchemas {
 public:
  /// A schema that cannot be read leaves its parameters of any type.
  explicit ToolSchemas(std::span<const Tool> tools);

  bool empty() const { return tools_.empty(); }
  bool has(std::string_view tool) const { return tools_.find(tool) != tools_.end(); }
  /// kAnyType if the schema does not say.
  ValueTypes types(std::string_view tool, std::string_view parameter) const;

 private:
  using Parameters = std::map<std::string, ValueTypes, std::less<>>;
  std::map<std::string, Parameters, std::less<>> tools_;
};

/// The JSON of a value that a model wrote bare: of another type than string where it reads as one that is
/// allowed (True and None as Python writes them, too), else a string of the text as it stands.
std::string typed_json(std::string_view text, ValueTypes types);

}  // namespace mlxd::dialects
