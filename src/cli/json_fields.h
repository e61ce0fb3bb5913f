// Reading the server's answers: what is absent or of another type is empty. Functions.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace mlxd::cli {

/// The objects in the list `key` of an answer.
std::vector<boost::json::object> objects_of(const boost::json::value& answer, std::string_view key);
/// Text as it is, numbers and switches as JSON writes them.
std::string text_of(const boost::json::object& object, std::string_view key);
/// How long ago a time in seconds since 1970 is; `otherwise` for null.
std::string age_of(const boost::json::object& object, std::string_view key, const std::string& otherwise);

}  // namespace mlxd::cli
