// A short notation for the types of JSON values, and the JSON Schemas that it stands for. Pure functions.
//
//   string, integer, number, boolean, null, object, any
//   integer(1..100)   within these bounds          'text'      this text
//   Name              another type by its name     a|b         one or the other
//   a[]               a list of them               (a|b)[]     a list of either
//
// Members of an object stand with blanks between: "id:string note?:string|null limit?:integer(1..9)=5"; `?`
// says that one may be absent, `=` what that means.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mlxd::api {

/// Names become references to #/components/schemas. Errors: kInvalidArgument with what is malformed.
Result<boost::json::value> schema_of_type(std::string_view type);

struct TypedMember {
  std::string name;
  bool required = true;
  boost::json::object schema;  // with its default
};
Result<std::vector<TypedMember>> members_of(std::string_view members);

/// An object with these members, and maybe others.
Result<boost::json::object> schema_of_members(std::string_view members);

}  // namespace mlxd::api
